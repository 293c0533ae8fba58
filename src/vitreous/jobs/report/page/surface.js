"use strict";
// Marching tetrahedra and a z-buffer on a plain canvas: nothing to load, works wherever a page opens.
for (const figure of document.querySelectorAll(".surface")) {
  const canvas = figure.querySelector("canvas");
  const slider = figure.querySelector("input");
  const data = JSON.parse(figure.querySelector("script").textContent);
  const bytes = Uint8Array.from(atob(data.values), (c) => c.charCodeAt(0));
  const field = new Uint16Array(bytes.buffer);
  const n = data.size;
  const context = canvas.getContext("2d");
  const offsets = Array.from({ length: 8 }, (_, m) => (m & 1) + n * ((m >> 1) & 1) + n * n * (m >> 2));
  const tetrahedra = [[1, 3], [1, 5], [2, 3], [2, 6], [4, 5], [4, 6]].map(([a, b]) => [0, a, b, 7]);
  let mesh;
  let turn = [[0.866, 0.5, 0], [-0.171, 0.296, 0.94], [0.47, -0.814, 0.342]]; // rows: right, up, towards the viewer

  const slope = (i, step) => (field[i - step] ?? 0) - (field[i + step] ?? 0);

  function build(level) {
    const known = new Map();
    const points = [];
    const normals = [];
    const triangles = [];
    const vertex = (cell, a, b) => {
      const low = Math.min(a, b);
      const i = cell + offsets[low];
      const j = cell + offsets[Math.max(a, b)];
      const key = i * 8 + (a ^ b);
      let found = known.get(key);
      if (found === undefined) {
        const t = (level - field[i]) / (field[j] - field[i]);
        const g = [1, n, n * n].map((s) => (1 - t) * slope(i, s) + t * slope(j, s));
        const length = Math.hypot(...g) || 1;
        const at = (k) => [k % n, Math.floor(k / n) % n, Math.floor(k / (n * n))];
        const p = at(i);
        const q = at(j);
        for (let d = 0; d < 3; d++) {
          points.push(p[d] + t * (q[d] - p[d]) - (n - 1) / 2);
          normals.push(g[d] / length);
        }
        found = known.size;
        known.set(key, found);
      }
      return found;
    };
    for (let z = 0; z < n - 1; z++) for (let y = 0; y < n - 1; y++) for (let x = 0; x < n - 1; x++) {
      const cell = x + n * (y + n * z);
      let above = 0;
      for (let m = 0; m < 8; m++) above += field[cell + offsets[m]] > level;
      if (above === 0 || above === 8) continue;
      for (const corners of tetrahedra) {
        const inside = corners.filter((c) => field[cell + offsets[c]] > level);
        const outside = corners.filter((c) => field[cell + offsets[c]] <= level);
        if (inside.length === 2) {
          const [a, b, c, d] = [[0, 0], [0, 1], [1, 1], [1, 0]].map(([i, o]) => vertex(cell, inside[i], outside[o]));
          triangles.push(a, b, c, a, c, d);
        } else if (inside.length === 1 || inside.length === 3) {
          const [apex, others] = inside.length === 1 ? [inside[0], outside] : [outside[0], inside];
          for (const other of others) triangles.push(vertex(cell, apex, other));
        }
      }
    }
    return { points, normals, triangles };
  }

  function draw() {
    const { width, height } = canvas;
    const image = context.createImageData(width, height);
    const depth = new Float32Array(width * height).fill(-Infinity);
    const scale = (0.98 * width) / (n - 1) / 1.1;
    const count = mesh.points.length / 3;
    const screen = new Float32Array(4 * count); // x, y, depth, brightness
    for (let v = 0; v < count; v++) {
      const p = mesh.points.slice(3 * v, 3 * v + 3);
      const m = mesh.normals.slice(3 * v, 3 * v + 3);
      const [x, y, z] = turn.map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]);
      const [u, w, s] = turn.map((row) => row[0] * m[0] + row[1] * m[1] + row[2] * m[2]);
      const light = Math.max(0, -0.4 * u + 0.5 * w + 0.77 * s);
      screen.set([width / 2 + scale * x, height / 2 - scale * y, z, 0.24 + 0.7 * light + (0.12 * z) / n], 4 * v);
    }
    for (let t = 0; t < mesh.triangles.length; t += 3) fill(image.data, depth, screen, mesh.triangles, t);
    context.putImageData(image, 0, 0);
    scaleBar(scale / data.pixel_A);
  }

  function fill(pixels, depth, screen, triangles, t) {
    const { width, height } = canvas;
    const [a, b, c] = [4 * triangles[t], 4 * triangles[t + 1], 4 * triangles[t + 2]];
    const [ax, ay, bx, by, cx, cy] = [screen[a], screen[a + 1], screen[b], screen[b + 1], screen[c], screen[c + 1]];
    const area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
    if (area === 0) return;
    const right = Math.min(width - 1, Math.floor(Math.max(ax, bx, cx)));
    const bottom = Math.min(height - 1, Math.floor(Math.max(ay, by, cy)));
    for (let y = Math.max(0, Math.ceil(Math.min(ay, by, cy))); y <= bottom; y++) {
      for (let x = Math.max(0, Math.ceil(Math.min(ax, bx, cx))); x <= right; x++) {
        const q = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area;
        const r = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area;
        const p = 1 - q - r;
        if (p < -1e-4 || q < -1e-4 || r < -1e-4) continue;
        const z = p * screen[a + 2] + q * screen[b + 2] + r * screen[c + 2];
        const i = x + width * y;
        if (z <= depth[i]) continue;
        depth[i] = z;
        const light = p * screen[a + 3] + q * screen[b + 3] + r * screen[c + 3];
        pixels.set([120 * light, 205 * light, 214 * light, 255], 4 * i);
      }
    }
  }

  function scaleBar(pixelsPerA) {
    const length = [10, 20, 50, 100, 200, 500].find((l) => l * pixelsPerA > 60) ?? 1000;
    const ink = getComputedStyle(canvas).color;
    context.fillStyle = ink;
    context.fillRect(14, canvas.height - 16, length * pixelsPerA, 3);
    context.font = "15px sans-serif";
    context.fillText(`${length} Å`, 14, canvas.height - 24);
  }

  function rotate(right, up) {
    const [cr, sr, cu, su] = [Math.cos(right), Math.sin(right), Math.cos(up), Math.sin(up)];
    const [x, y, z] = turn;
    const z1 = z.map((v, d) => cr * v - sr * x[d]);
    const x1 = x.map((v, d) => cr * v + sr * z[d]);
    turn = [x1, y.map((v, d) => cu * v + su * z1[d]), z1.map((v, d) => cu * v - su * y[d])];
    requestAnimationFrame(draw);
  }

  function remesh() {
    figure.querySelector("output").textContent = `${slider.value} % of the peak`;
    mesh = build((65535 * Number(slider.value)) / 100 + 0.5);
    figure.dataset.vertices = mesh.points.length / 3;
    figure.dataset.triangles = mesh.triangles.length / 3;
    draw();
  }

  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) rotate(event.movementX / 120, -event.movementY / 120);
  });
  const keys = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15] };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in keys)) return;
    event.preventDefault();
    rotate(...keys[event.key]);
  });
  slider.addEventListener("input", remesh);
  remesh();
}
