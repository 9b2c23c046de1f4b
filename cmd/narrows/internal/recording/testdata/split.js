// Spends 70 and 30 of each 100 loops in two functions until its input ends. The loops
// are the same, so the time is split as their number is.
'use strict';

function seventy(x) {
  for (let i = 0; i < 70_000; i++) x = (Math.imul(x, 1103515245) + i) | 0;
  return x;
}

function thirty(x) {
  for (let i = 0; i < 30_000; i++) x = (Math.imul(x, 1103515245) + i) | 0;
  return x;
}

let x = 1;
let ended = false;
process.stdin.on('data', () => { ended = true; });
function round() {
  for (let i = 0; i < 100; i++) x = seventy(x) ^ thirty(x);
  if (!ended) return setImmediate(round);
  process.stdin.destroy();
  process.stdout.write(JSON.stringify({ seventy: 70, thirty: 30, x: x & 0 }));
}
round();
