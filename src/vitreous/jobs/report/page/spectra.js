for (const card of document.querySelectorAll(".spectrum")) {
  const zoom = () => card.classList.toggle("large");
  card.addEventListener("click", zoom);
  card.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault(); // the space bar would scroll the page
    zoom();
  });
}
