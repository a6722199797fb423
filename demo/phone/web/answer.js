// The answer: what the model says, and where in the image it sees it.

import {layer} from "./js/heatmap.js";

const SIDE = 1024; // pixels that are shown at most; a phone's canvas is no place for thirty million
const STEPS = {read: "Read", preprocess: "Preprocess", invoke: "Run the model", load: "Load the part's model", check: "Check"};

const element = (id) => document.getElementById(id);

export function hideAnswer() {
  element("answer").hidden = true;
}

export function setOpacity(share) {
  element("heat").style.opacity = share;
}

export function showAnswer(grey, prediction, used) {
  showCard(prediction);
  drawRadiograph(element("radiograph"), grey);
  drawHeat(prediction, grey);
  element("facts").replaceChildren(...terms(factsOf(prediction, used)));
  element("answer").hidden = false;
}

// The pairs of a <dl>.
export function terms(pairs) {
  return pairs.flatMap(([name, value]) => [made("dt", name), made("dd", value)]);
}

export function made(tag, text) {
  const one = document.createElement(tag);
  one.textContent = text;
  return one;
}

function showCard({label, fractureProbability, threshold, warnings}) {
  const card = element("card");
  card.classList.toggle("fractured", label === "fractured");
  element("label").textContent = label.charAt(0).toUpperCase() + label.slice(1);
  element("probability").textContent = fractureProbability.toFixed(3);
  element("probability").dataset.value = fractureProbability;
  element("side").textContent = label === "fractured" ? "at or above" : "below";
  element("threshold").textContent = threshold.toFixed(3);
  card.style.setProperty("--filled", `${100 * fractureProbability}%`);
  card.style.setProperty("--at", `${100 * threshold}%`);
  const doubts = Object.values(warnings);
  element("doubts").replaceChildren(...doubts.map((text) => made("li", text)));
  element("doubts").hidden = !doubts.length;
}

function factsOf(prediction, {model, accelerator}) {
  const spent = Object.entries(prediction.milliseconds);
  const total = spent.reduce((sum, [, milliseconds]) => sum + milliseconds, 0);
  const part = prediction.bodyPart &&
    [["Body part", `${prediction.bodyPart}, probability ${prediction.bodyPartProbability.toFixed(3)}`]];
  return [
    ...part || [],
    ["Model", prediction.model],
    ["Variant", prediction.variant || model.variant],
    ["Ran on", [accelerator, prediction.reason].filter(Boolean).join("; ")],
    ...spent.map(([step, milliseconds]) => [STEPS[step] ?? step, `${milliseconds.toFixed(1)} ms`]),
    ["In all", `${total.toFixed(1)} ms`],
  ];
}

// ---- pictures

function drawRadiograph(canvas, grey) {
  const {width, height, data} = reduced(grey);
  const pixels = new ImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let index = 0; index < data.length; index++) words[index] = 0xff000000 | (data[index] * 0x010101);
  paint(canvas, pixels);
}

// The means of squares of pixels, as many as it takes to be no larger than SIDE.
function reduced(grey) {
  const step = Math.ceil(Math.max(grey.width, grey.height) / SIDE);
  if (step <= 1) return grey;
  const [width, height] = [Math.floor(grey.width / step) || 1, Math.floor(grey.height / step) || 1];
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data[y * width + x] = meanAt(grey, x * step, y * step, step);
  }
  return {width, height, data};
}

function meanAt(grey, left, top, step) {
  const [right, bottom] = [Math.min(left + step, grey.width), Math.min(top + step, grey.height)];
  let sum = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) sum += grey.data[y * grey.width + x];
  }
  return sum / ((right - left) * (bottom - top));
}

function drawHeat({activationMap, spec}, grey) {
  const there = Boolean(activationMap);
  element("heat").hidden = element("heat-control").hidden = !there;
  element("no-heat").hidden = there;
  element("no-heat").textContent = "This model gives no heatmap.";
  if (there) paint(element("heat"), layer(activationMap, spec, grey.width, grey.height));
}

function paint(canvas, pixels) {
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
