// The slider sets how wide images are shown.
const main = document.querySelector("main");
const slider = document.getElementById("card-size");
slider.value = parseInt(getComputedStyle(main).getPropertyValue("--card"), 10);
slider.addEventListener("input", () => main.style.setProperty("--card", `${slider.value}px`));
