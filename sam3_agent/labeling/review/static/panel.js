// The panel at the right: classes with their sliders, labels and checks of the image.
import { cssOf } from "./masks.js";
import { node } from "./page.js";

export function drawClasses(place, classes, sliders, moved, applied) {
  const rows = classes.map((each, number) => {
    const row = node("div", "class"), swatch = node("span", "swatch"), slider = node("input"), value = node("span", "dim");
    swatch.style.background = cssOf(number);
    const name = node("span", "name", `${number < 9 ? `${number + 1} ` : ""}${each.name}`);
    name.title = each.name;
    slider.type = "range"; slider.min = "0"; slider.max = "1"; slider.step = "0.01";
    slider.value = sliders.get(each.name) ?? each.threshold ?? 0;
    slider.setAttribute("aria-label", `threshold of ${each.name}`);
    value.textContent = Number(slider.value).toFixed(2);
    const button = node("button", "", "set");
    button.title = "Route the undecided labels of this class by this threshold, on all images";
    slider.addEventListener("input", () => { value.textContent = Number(slider.value).toFixed(2); moved(each.name, Number(slider.value)); });
    button.addEventListener("click", () => applied(each.name, Number(slider.value)));
    row.append(swatch, name, slider, value, button);
    return row;
  });
  place.replaceChildren(...rows);
}

export function drawLabels(place, labels, chosen, isShown, choose) {
  const rows = labels.map((label) => {
    const row = node("div", `label${label.id === chosen ? " now" : ""}${isShown(label) ? "" : " under"}`);
    const swatch = node("span", "swatch");
    swatch.style.background = cssOf(label.number);
    row.append(swatch, node("span", "", `${label.class} ${label.score.toFixed(2)}`), node("span", `route ${label.route}`, label.route));
    row.append(node("span", "reason dim", `${label.phrase}: ${label.reason}`));
    row.dataset.id = label.id;
    row.addEventListener("click", () => choose(label.id));
    return row;
  });
  place.replaceChildren(...rows);
  place.querySelector(".now")?.scrollIntoView({ block: "nearest" });
}

export function drawChecks(place, checks) {
  const rows = checks.filter((check) => check.route === "review").map((check) => node("div", "check", `${check.class}: ${check.reason}`));
  place.replaceChildren(...rows);
}
