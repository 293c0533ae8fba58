"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byNumber = new Map(data.classes.map((c) => [c.number, c]));
  const total = data.classes.reduce((sum, c) => sum + c.n, 0);
  const gallery = document.getElementById("gallery");
  const boxes = [...gallery.querySelectorAll("input[type=checkbox]")];
  const chosen = document.getElementById("chosen");
  const command = document.getElementById("command");
  const copy = document.getElementById("copy");
  const minSize = document.getElementById("min-size");
  const maxResolution = document.getElementById("max-resolution");
  const detail = document.getElementById("detail");
  const count = (n) => n.toLocaleString("en");

  const selected = () => boxes.filter((box) => box.checked).map((box) => Number(box.value)).sort((a, b) => a - b);

  function show() {
    const numbers = selected();
    const particles = numbers.reduce((sum, number) => sum + byNumber.get(number).n, 0);
    const share = total ? ((100 * particles) / total).toFixed(1) : "0";
    chosen.textContent = numbers.length
      ? `${numbers.length} of ${boxes.length} classes, ${count(particles)} particles (${share} %)`
      : "No class selected";
    command.textContent = `${data.command} --classes ${numbers.length ? numbers.join(",") : "…"}`;
    copy.disabled = !numbers.length;
    const inside = new Set(numbers);
    document.querySelectorAll("circle.point").forEach((point) => {
      point.classList.toggle("on", inside.has(Number(point.dataset.class)));
    });
    const address = numbers.length ? `#select=${numbers.join(",")}` : location.pathname + location.search;
    try { history.replaceState(null, "", address); } catch { /* some viewers forbid it; the selection still works */ }
  }

  function select(test) {
    boxes.forEach((box) => { box.checked = test(byNumber.get(Number(box.value)), box.checked); });
    show();
  }

  function bySliders() {
    const size = Number(minSize.value);
    const limit = Number(maxResolution.value);
    labels();
    select((c) => c.n >= size && c.resolution !== null && c.resolution <= limit + 0.05);
  }

  function labels() {
    document.getElementById("size-value").textContent = count(Number(minSize.value));
    document.getElementById("resolution-value").textContent = `${Number(maxResolution.value).toFixed(1)} Å`;
  }

  function prepareSliders() {
    const sizes = data.classes.map((c) => c.n);
    const found = data.classes.map((c) => c.resolution).filter((r) => r !== null);
    minSize.max = Math.max(1, ...sizes);
    minSize.value = 0;
    if (found.length) {
      maxResolution.min = Math.floor(10 * Math.min(...found)) / 10;
      maxResolution.max = Math.ceil(10 * Math.max(...found)) / 10;
      maxResolution.value = maxResolution.max;
    } else {
      maxResolution.closest("label").hidden = true;
    }
    labels();
  }

  function sort(key) {
    const rank = (card) => {
      const c = byNumber.get(Number(card.dataset.class));
      return key === "size" ? -c.n : (c.resolution === null ? Infinity : c.resolution);
    };
    const cards = [...gallery.children];
    cards.sort((a, b) => rank(a) - rank(b) || Number(a.dataset.class) - Number(b.dataset.class));
    gallery.append(...cards);
  }

  function open(number) {
    const body = document.getElementById("detail-body");
    const average = gallery.querySelector(`[data-class="${number}"] img`).src;
    body.replaceChildren(document.getElementById(`class-${number}`).content.cloneNode(true));
    body.querySelectorAll("img.enlarged, img.again").forEach((image) => { image.src = average; });
    document.getElementById("detail-title").textContent = `Class ${number}`;
    detail.dataset.number = number;
    if (!detail.open) detail.showModal();
  }

  function step(by) {
    const order = [...gallery.children].map((card) => Number(card.dataset.class));
    const place = order.indexOf(Number(detail.dataset.number)) + by;
    open(order[(place + order.length) % order.length]);
  }

  async function copyCommand() {
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(command);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  }

  const picks = { all: () => true, none: () => false, invert: (c, on) => !on };
  document.querySelectorAll("[data-pick]").forEach((button) => {
    button.addEventListener("click", () => select(picks[button.dataset.pick]));
  });
  document.querySelectorAll("input[name=sort]").forEach((radio) => radio.addEventListener("change", () => sort(radio.value)));
  document.querySelectorAll("input[name=zoom]").forEach((radio) => radio.addEventListener("change", () => {
    gallery.dataset.zoom = radio.value;
  }));
  gallery.addEventListener("change", show);
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest("[data-open]");
    if (button) open(Number(button.dataset.open));
  });
  minSize.addEventListener("input", bySliders);
  maxResolution.addEventListener("input", bySliders);
  copy.addEventListener("click", copyCommand);
  detail.addEventListener("click", (event) => {
    if (event.target === detail || event.target.closest("[data-close]")) detail.close();
    const button = event.target.closest("[data-step]");
    if (button) step(Number(button.dataset.step));
  });
  detail.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });

  prepareSliders();
  const asked = /#select=([\d,]+)/.exec(location.hash);
  if (asked) {
    const numbers = new Set(asked[1].split(",").map(Number));
    select((c) => numbers.has(c.number));
  } else {
    show();
  }
})();
