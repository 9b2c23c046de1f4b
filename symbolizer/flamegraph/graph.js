'use strict';
(() => {
const script = document.currentScript;
const root = script ? script.closest('svg.flame') : document.documentElement;
const XHTML = 'http://www.w3.org/1999/xhtml', SVG = 'http://www.w3.org/2000/svg';
const data = JSON.parse(root.querySelector('.data').textContent);
const head = root.querySelector('.head');
const chart = root.querySelector('.chart');
const labels = root.querySelector('.labels');
const rects = Array.from(root.querySelectorAll('.frames rect'));
const count = rects.length;

// The nodes come in preorder as rows of integers; everything else follows.
const FIELDS = 7;
const field = k => Float64Array.from({length: count}, (_, i) => data.nodes[i * FIELDS + k]);
const frame = field(0), depth = field(1), total = field(2), self = field(3), samples = field(4), low = field(5), span = field(6);
const parent = new Int32Array(count).fill(-1), end = new Int32Array(count).fill(count);
const left = new Float64Array(count), drawn = new Float64Array(count);
const path = [];
for (let i = 0; i < count; i++) {
  while (path.length > depth[i]) end[path.pop()] = i;
  if (i > 0) {
    const p = parent[i] = path[path.length - 1];
    left[i] = left[p] + drawn[p];
    drawn[p] += total[i];
  }
  path.push(i);
  rects[i].frameIndex = i;
}

const make = (tag, className, text) => {
  const e = document.createElementNS(XHTML, tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};
const foreign = (parent, attributes, child) => {
  const e = document.createElementNS(SVG, 'foreignObject');
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  e.append(child);
  parent.append(e);
  return e;
};

// Numbers, printed as the static part of the file prints them.
const families = {
  time: [[3600e9, 'h'], [60e9, 'min'], [1e9, 's'], [1e6, 'ms'], [1e3, 'us'], [1, 'ns']],
  bytes: [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']],
};
const digits = x => {
  const places = x ? Math.min(Math.max(3 - Math.floor(Math.log10(Math.abs(x))), 0), 3) : 0;
  const s = x.toFixed(places);
  return s.includes('.') ? s.replace(/\.?0+$/, '') : s;
};
const thousands = n => String(n).replace(/\B(?=(\d{3})+$)/g, ',');
const format = v => {
  const steps = families[data.family];
  if (!steps) return thousands(v) + (data.unit && data.unit !== 'count' ? ' ' + data.unit : '');
  const x = v * data.factor;
  const s = steps.find(s => x >= s[0]) || steps[steps.length - 1];
  return digits(x / s[0]) + ' ' + s[1];
};
const percent = (part, whole) => {
  const p = 100 * part / whole;
  return (p > 0 && p < 0.005 ? '<0.01' : p.toFixed(p < 10 ? 2 : 1)) + ' %';
};

const name = i => i === 0 ? 'all' : data.names[data.frames[frame[i]][0]];
const plain = i => i === 0 ? 'all' : name(i).replace(/^[^(\[<{ ]*\/([^(])/, '$1');

// Text is cut by the width of its characters, measured once each.
const pen = document.createElementNS(XHTML, 'canvas').getContext('2d');
pen.font = getComputedStyle(labels).font;
const widths = new Map();
const charWidth = c => {
  let w = widths.get(c);
  if (w === undefined) widths.set(c, w = pen.measureText(c).width);
  return w;
};
const cut = (text, room) => {
  let used = 0, at = 0;
  const dots = charWidth('…');
  for (const c of text) {
    used += charWidth(c);
    if (used > room) return null;
    if (used + dots <= room) at += c.length;
  }
  return text;
};
const shorten = (text, room) => {
  let used = charWidth('…'), kept = '';
  for (const c of text) {
    used += charWidth(c);
    if (used > room) break;
    kept += c;
  }
  return kept.length > 1 ? kept + '…' : '';
};
const fit = (i, room) => cut(name(i), room) || cut(plain(i), room) || shorten(plain(i), room);

let zoom = 0, pattern = '';
let matched = new Uint8Array(count);

const inside = i => i >= zoom && i < end[zoom];
const above = i => i < zoom && end[i] > zoom;

// draw places every frame for the current zoom, then writes the labels.
function draw() {
  const whole = total[zoom], from = left[zoom];
  const width = chart.getBoundingClientRect().width || 1200;
  const text = document.createDocumentFragment();
  for (let i = 0; i < count; i++) {
    const r = rects[i], over = above(i);
    if (!over && !inside(i)) {
      r.style.display = 'none';
      continue;
    }
    const x = over ? 0 : (left[i] - from) / whole, w = over ? 1 : total[i] / whole;
    r.style.display = '';
    r.setAttribute('x', (100 * x).toFixed(4) + '%');
    r.setAttribute('width', (100 * w).toFixed(4) + '%');
    r.classList.toggle('above', over);
    const label = w * width > 22 ? fit(i, w * width - 8) : '';
    if (w * width > 22) {
      r.setAttribute('tabindex', '0');
      r.setAttribute('role', 'button');
      r.setAttribute('aria-label', `${name(i)}, ${percent(total[i], total[0])}`);
    } else {
      r.removeAttribute('tabindex');
    }
    if (!label) continue;
    const t = document.createElementNS(SVG, 'text');
    t.setAttribute('x', (100 * x).toFixed(4) + '%');
    t.setAttribute('dx', '4');
    t.setAttribute('y', Number(r.getAttribute('y')) + 12.5);
    if (r.classList.contains('inlined')) t.classList.add('italic');
    if (over) t.classList.add('dim');
    t.frameIndex = i;
    t.textContent = label;
    text.append(t);
  }
  labels.replaceChildren(text);
  drawCrumbs();
}

// The toolbar: search at the right of the title, the way back below the legend.
const found = make('span', 'found');
const input = make('input');
const buttonClear = make('button', 'clear', 'Clear');
input.type = 'search';
input.placeholder = 'Search (regexp): / or Ctrl-F';
input.setAttribute('aria-label', 'Search function names by regular expression');
input.maxLength = 1000;
const bar = make('div', 'bar search');
bar.append(found, input, buttonClear);
const crumbs = make('div', 'bar crumbs');
const headHeight = Number(head.dataset.height);
foreign(head, {x: '.8%', y: 8, width: '98.4%', height: 28}, bar);
foreign(head, {x: '.8%', y: headHeight - 27, width: '98.4%', height: 22}, crumbs);
for (const hint of root.querySelectorAll('.static')) hint.remove();

function drawCrumbs() {
  crumbs.replaceChildren();
  if (zoom === 0) {
    crumbs.append(make('span', '', 'Click a frame to zoom in, Escape to go back; arrow keys walk the stacks'));
    return;
  }
  const reset = make('button', 'reset', 'Reset zoom');
  reset.addEventListener('click', () => go(0, pattern));
  crumbs.append(reset);
  const line = [];
  for (let i = zoom; i >= 0; i = parent[i]) line.unshift(i);
  const shown = line.length > 6 ? [line[0], -1, ...line.slice(-4)] : line;
  shown.forEach((i, at) => {
    if (at) crumbs.append(make('span', '', '›'));
    if (i < 0) {
      crumbs.append(make('span', '', '…'));
      return;
    }
    const b = make('button', '', plain(i));
    b.title = name(i);
    b.addEventListener('click', () => go(i, pattern));
    crumbs.append(b);
  });
}

// search marks the frames whose name matches and sums the outermost of them, so
// that a match below a match counts once. Frames that are not drawn may match as
// well, with at most the weight listed for their names: where there are such, the
// share is a range.
function search() {
  let re = null;
  input.classList.remove('wrong');
  matched.fill(0);
  if (pattern) {
    try {
      re = new RegExp(pattern, 'iu');
    } catch (e) {
      try {
        re = new RegExp(pattern, 'i');
      } catch (e) {
        input.classList.add('wrong');
        found.textContent = 'not a regular expression';
      }
    }
  }
  root.classList.toggle('searching', re !== null);
  if (re) {
    const hit = data.frames.map(f => re.test(data.names[f[0]]));
    for (let i = 1; i < count; i++) matched[i] = hit[frame[i]] ? 1 : 0;
    let unseen = data.elsewhere;
    for (let k = 0; k < data.hidden.length; k += 2) if (re.test(data.names[data.hidden[k]])) unseen += data.hidden[k + 1];
    let text = share(0, unseen, 'of all');
    if (zoom) text += ' · ' + share(zoom, unseen, 'of the zoomed frame');
    found.textContent = 'Matched ' + text;
  } else if (!pattern) {
    found.textContent = '';
  }
  for (let i = 0; i < count; i++) rects[i].classList.toggle('match', matched[i] === 1);
  for (const t of labels.children) t.classList.toggle('pick', matched[t.frameIndex] === 1);
  buttonClear.style.display = pattern ? '' : 'none';
}

// share prints how much of a frame matches; unseen bounds the matches not drawn,
// as does the undrawn weight outside of the matches.
function share(top, unseen, of) {
  let sum = 0, hidden = 0;
  for (let i = top; i < end[top];) {
    if (matched[i]) {
      sum += total[i];
      i = end[i];
    } else {
      hidden += total[i] - self[i] - drawn[i];
      i++;
    }
  }
  const least = percent(sum, total[top]), most = percent(sum + Math.min(hidden, unseen), total[top]);
  return (least === most ? least : `${least} to ${most}`) + ' ' + of;
}

// The state lives in the address, so that a link shows what its sender saw and
// the browser's back button undoes a zoom.
const stateOf = hash => {
  const q = new URLSearchParams(hash.replace(/^#/, ''));
  const z = Number(q.get('zoom'));
  return [Number.isInteger(z) && z >= 0 && z < count ? z : 0, (q.get('search') || '').slice(0, 1000)];
};
function go(z, p, replace) {
  if (z === zoom && p === pattern) return;
  show(z, p);
  const q = new URLSearchParams();
  if (z) q.set('zoom', z);
  if (p) q.set('search', p);
  try {
    if (replace) location.replace('#' + q);
    else location.hash = q;
  } catch (e) { /* embedded where the address may not change: the view still does */ }
}
function show(z, p) {
  const moved = z !== zoom;
  zoom = z;
  pattern = p;
  if (document.activeElement !== input) input.value = p;
  hideTip();
  draw();
  search();
  if (moved) reveal(z);
}
// reveal scrolls to a zoomed frame that is out of sight, as one deep in a stack
// is when a link is opened.
function reveal(i) {
  const y = rects[i].getBoundingClientRect().top;
  if (y < headHeight || y > innerHeight * 0.7) scrollBy(0, y - headHeight - 60);
}
addEventListener('hashchange', () => {
  const [z, p] = stateOf(location.hash);
  if (z !== zoom || p !== pattern) show(z, p);
});
input.addEventListener('input', () => go(zoom, input.value, true));
buttonClear.addEventListener('click', () => {
  input.value = '';
  go(zoom, '', true);
});

// The description of a frame, beside the pointer or below the focused frame.
const tip = make('div', 'tip');
tip.setAttribute('role', 'tooltip');
const tipBox = foreign(root, {width: 640, height: 10, style: 'overflow:visible;pointer-events:none;display:none'}, tip);
let described = -1;

function describe(i) {
  if (i === described) return;
  described = i;
  tip.replaceChildren(make('b', '', name(i)));
  if (i > 0) {
    const [, kind, binary, file, inlined] = data.frames[frame[i]];
    const about = [data.kinds[kind]];
    if (inlined) about.push('inlined into its caller');
    if (binary >= 0) about.push(data.texts[binary]);
    tip.append(make('span', '', about.join(' · ')));
    if (file >= 0) tip.append(make('span', '', data.texts[file] + (low[i] ? ':' + low[i] + (span[i] ? '–' + (low[i] + span[i]) : '') : '')));
  }
  const table = make('table');
  const row = (...cells) => {
    const tr = make('tr');
    for (const c of cells) tr.append(make('td', '', c));
    table.append(tr);
  };
  const zoomed = v => zoom && inside(i) ? [percent(v, total[zoom]) + ' of zoomed'] : [];
  row('total', format(total[i]), percent(total[i], total[0]) + ' of all', ...zoomed(total[i]));
  row('self', format(self[i]), percent(self[i], total[0]) + ' of all', ...zoomed(self[i]));
  if (data.family) row(data.counted, thousands(samples[i]));
  const undrawn = total[i] - self[i] - drawn[i];
  if (undrawn > 0) row('not drawn', format(undrawn), percent(undrawn, total[0]) + ' of all');
  tip.append(table);
}
function placeTip(x, y, height) {
  tipBox.style.display = '';
  const box = tip.getBoundingClientRect(), origin = root.getBoundingClientRect();
  const fx = Math.max(4, Math.min(x + 12, innerWidth - box.width - 8));
  const fy = y + height + 14 + box.height > innerHeight ? Math.max(4, y - box.height - 8) : y + height + 14;
  tipBox.setAttribute('x', fx - origin.left);
  tipBox.setAttribute('y', fy - origin.top);
}
function hideTip() {
  described = -1;
  tipBox.style.display = 'none';
}

const frameAt = target => target && target.frameIndex !== undefined ? target.frameIndex : -1;
chart.addEventListener('mousemove', e => {
  const i = frameAt(e.target);
  if (i < 0) return hideTip();
  describe(i);
  placeTip(e.clientX, e.clientY, 0);
});
chart.addEventListener('mouseleave', hideTip);
chart.addEventListener('click', e => {
  const i = frameAt(e.target);
  if (i >= 0) go(i, pattern);
});
chart.addEventListener('focusin', e => {
  const i = frameAt(e.target);
  if (i < 0 || !e.target.matches(':focus-visible')) return;
  describe(i);
  const r = e.target.getBoundingClientRect();
  placeTip(Math.max(r.left, 0), r.top, r.height);
});
chart.addEventListener('focusout', hideTip);

const visible = i => i > 0 && (inside(i) || above(i));
const walk = {
  ArrowUp: i => parent[i],
  ArrowDown: i => {
    let best = -1;
    for (let c = i + 1; c < end[i]; c = end[c]) if (visible(c) && (best < 0 || total[c] > total[best])) best = c;
    return best;
  },
  ArrowRight: i => i > 0 && end[i] < end[parent[i]] && visible(end[i]) ? end[i] : -1,
  ArrowLeft: i => {
    let before = -1;
    if (i > 0) for (let c = parent[i] + 1; c < i; c = end[c]) if (visible(c)) before = c;
    return before;
  },
};
document.addEventListener('keydown', e => {
  const typing = e.target === input;
  if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === 'f' ? !typing : e.key === '/' && !typing) {
    e.preventDefault();
    input.focus();
    input.select();
    return;
  }
  if (e.key === 'Escape') {
    if (typing || !zoom) {
      input.value = '';
      input.blur();
      go(zoom, '', true);
    } else {
      go(0, pattern);
    }
    return;
  }
  const i = frameAt(e.target);
  if (i < 0) return;
  if (e.key === 'Enter' || e.key === ' ') {
    e.preventDefault();
    go(i, pattern);
    rects[i].focus();
  } else if (walk[e.key]) {
    e.preventDefault();
    const next = walk[e.key](i);
    if (next < 0) return;
    rects[next].setAttribute('tabindex', '0');
    rects[next].focus();
  }
});

// Opened by itself the graph takes the window's width; the heading stays in
// sight while a deep stack scrolls below it.
root.setAttribute('width', '100%');
root.removeAttribute('viewBox');
root.classList.add('live');
addEventListener('scroll', () => {
  const y = Math.max(0, -root.getBoundingClientRect().top);
  head.setAttribute('transform', `translate(0 ${y})`);
}, {passive: true});
addEventListener('resize', () => {
  draw();
  search();
});
show(...stateOf(location.hash));
})();
