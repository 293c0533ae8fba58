for (const panel of document.querySelectorAll(".picks")) {
  const slider = panel.querySelector("input"), output = panel.querySelector("output");
  const circles = [...panel.querySelectorAll("circle[data-score]")];
  const show = () => {
    const lowest = Number(slider.value);
    let left = 0;
    for (const circle of circles) {
      const hidden = Number(circle.dataset.score) < lowest - 1e-3;
      circle.classList.toggle("hidden", hidden);
      left += hidden ? 0 : 1;
    }
    output.textContent = `${lowest.toFixed(2)}: ${left} of ${circles.length} picks shown`;
  };
  slider.addEventListener("input", show);
  show();
  for (const picture of panel.querySelectorAll("svg")) {
    const zoom = () => picture.classList.toggle("large");
    picture.addEventListener("click", zoom);
    picture.addEventListener("keydown", (event) => { if (event.key === "Enter") zoom(); });
  }
}
