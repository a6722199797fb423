// The page: takes an image, asks the model, shows the answer. Nothing here sends anything anywhere.

import {openClassifier} from "./js/classifier.js";
import {readRadiograph} from "./js/image.js";
import {showAbout} from "./about.js";
import {hideAnswer, setOpacity, showAnswer} from "./answer.js";
import {keepForOffline} from "./offline.js";

const ACCELERATORS = {wasm: "Processor (wasm)", webgpu: "Graphics card (WebGPU)"};
const PAINT_MS = 20; // enough for the browser to draw what was told before it goes on

const element = (id) => document.getElementById(id);

let models = []; // of models.json
let open = null; // {model, accelerator, classifier}
let radiograph = null; // the last image that could be read, for another model
let queue = Promise.resolve(); // one thing at a time: a model has one set of buffers

async function main() {
  keepForOffline();
  models = await (await fetched("models.json")).json();
  await fillSettings();
  takeImages();
  element("opacity").addEventListener("input", (event) => setOpacity(event.target.value / 100));
  for (const id of ["model", "accelerator"]) element(id).addEventListener("change", () => turn(scoreAgain));
  turn(async () => {
    await openChosen();
    say("Ready");
  });
  for (const id of ["choose", "capture", "model", "accelerator"]) element(id).disabled = false;
}

// ---- one thing at a time

function turn(work) {
  element("answer").ariaBusy = "true";
  const mine = queue.then(work).catch(showProblem).then(() => {
    if (queue === mine) element("answer").ariaBusy = "false"; // nothing has come since
  });
  queue = mine;
}

function showProblem(error) {
  hideAnswer();
  say("");
  element("problem").textContent = oneLine(error);
  element("problem").hidden = false;
}

async function scoreNew(file) {
  radiograph = null;
  await tell("Reading the image");
  const start = performance.now();
  const decoded = await readRadiograph(file);
  radiograph = {...decoded, name: file.name, milliseconds: performance.now() - start};
  await scoreAgain();
  element("card").scrollIntoView({block: "nearest"}); // on a phone it lies below what was just tapped
}

async function scoreAgain() {
  const {model, accelerator, classifier} = await openChosen();
  if (!radiograph) {
    say("Ready");
    return;
  }
  await tell("Scoring");
  const prediction = await classifier.predict(radiograph);
  prediction.milliseconds = {read: radiograph.milliseconds, ...prediction.milliseconds};
  showAnswer(radiograph.grey, prediction, {model, accelerator: ACCELERATORS[prediction.applied || accelerator]});
  say(`Scored${radiograph.name ? ` ${radiograph.name}` : ""}`);
}

async function openChosen() {
  const model = models[element("model").selectedIndex];
  const accelerator = element("accelerator").value;
  if (open?.model === model && open.accelerator === accelerator) {
    element("problem").hidden = true;
    return open;
  }
  await tell(`Loading the model, ${megabytes(model.bytes)}`);
  open?.classifier.close();
  open = null;
  const bytes = new Uint8Array(await (await fetched(model.url)).arrayBuffer());
  const classifier = await openClassifier(bytes, {accelerator});
  open = {model, accelerator, classifier};
  showAbout(classifier.description, model);
  return open;
}

async function fetched(url) {
  const response = await fetch(url).catch(() => null);
  if (response?.ok) return response;
  throw new Error(`${url} cannot be fetched${response ? ` (${response.status})` : ""}; look at the network, and reload`);
}

// ---- what a person gives

function takeImages() {
  for (const [button, input] of [["choose", "file"], ["capture", "camera"]]) {
    element(button).addEventListener("click", () => element(input).click());
    element(input).addEventListener("change", () => {
      give(element(input).files);
      element(input).value = ""; // so that the same file can be chosen again
    });
  }
  const drop = element("drop");
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault(); // a browser would open the file instead of this page
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") give(event.dataTransfer.files);
    });
  }
  document.addEventListener("paste", (event) => give(event.clipboardData.files));
}

function give(files) {
  const given = Array.from(files);
  if (!given.length) return;
  turn(() => {
    if (given.length > 1) throw new Error(`these are ${given.length} files; give one radiograph at a time`);
    return scoreNew(given[0]);
  });
}

// ---- settings

async function fillSettings() {
  const variants = models.map((model) => model.variant);
  const twice = new Set(variants).size < variants.length;
  element("model").append(...models.map((model) =>
    new Option(`${twice ? model.file : model.variant} (${megabytes(model.bytes)})`)));
  const missing = await missingWebgpu();
  const usable = missing ? ["wasm"] : ["wasm", "webgpu"];
  element("accelerator").append(...usable.map((name) => new Option(ACCELERATORS[name], name)));
  element("accelerator-note").textContent = missing;
}

// Why there is no WebGPU; nothing where there is.
async function missingWebgpu() {
  if (!isSecureContext) return "Browsers give WebGPU to pages from https or localhost alone.";
  if (!navigator.gpu) return "This browser has no WebGPU, or has it switched off.";
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter ? "" : "WebGPU finds no usable graphics card here.";
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e5 ? 3 : 1)} MB`;

// ---- what the page says

function say(text) {
  element("state").textContent = text;
}

function tell(text) {
  element("problem").hidden = true;
  say(`${text} ...`);
  return new Promise((resolve) => setTimeout(resolve, PAINT_MS));
}

const oneLine = (error) => String(error?.message ?? error).replace(/\s+/g, " ").trim().slice(0, 400);

turn(main);
