// Compiled JavaScript and the C++ behind it, until a byte comes on standard input.
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));

function work(round) {
  const text = JSON.stringify([...Array(500).keys()].map((i) => ({ i, s: String(i).repeat(3) })));
  const numbers = text.match(/\d+/g).map(Number).sort((a, b) => b - a);
  return numbers[0] + JSON.parse(text)[round % 500].i;
}

let sum = 0;
const more = setInterval(() => {
  for (let i = 0; i < 20; i++) sum += fib(18) + work(i);
}, 0);
process.stdin.once('data', () => {
  clearInterval(more);
  console.log('{}');
  process.exit(0);
});
