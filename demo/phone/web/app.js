// The page: reads an image, scores it and shows the prediction. Nothing here sends data anywhere.

import {openClassifier} from "./js/classifier.js";
import {readRadiograph} from "./js/image.js";
import {showAbout} from "./about.js";
import {hideAnswer, setOpacity, showAnswer} from "./answer.js";
import {keepForOffline} from "./offline.js";

const ACCELERATORS = {wasm: "CPU (wasm)", webgpu: "GPU (WebGPU)"};
const PAINT_MS = 20; // lets the browser paint the status before the work goes on

const element = (id) => document.getElementById(id);

let models = []; // content of models.json
let open = null; // {model, accelerator, classifier}
let radiograph = null; // the last readable image, to score again with another model
let queue = Promise.resolve(); // one task at a time, because a model has one set of buffers

async function main() {
  keepForOffline();
  models = await (await fetched("models.json")).json();
  await fillSettings();
  listenForImages();
  element("opacity").addEventListener("input", (event) => setOpacity(event.target.value / 100));
  for (const id of ["model", "accelerator"]) element(id).addEventListener("change", () => enqueue(scoreAgain));
  enqueue(async () => {
    await openChosen();
    setStatus("Ready");
  });
  for (const id of ["choose", "capture", "model", "accelerator"]) element(id).disabled = false;
}

// ---- tasks

function enqueue(task) {
  element("answer").ariaBusy = "true";
  const last = queue.then(task).catch(showProblem).then(() => {
    if (queue === last) element("answer").ariaBusy = "false"; // no later task is waiting
  });
  queue = last;
}

function showProblem(error) {
  hideAnswer();
  setStatus("");
  element("problem").textContent = oneLine(error);
  element("problem").hidden = false;
}

async function scoreNew(file) {
  radiograph = null;
  await showProgress("Reading the image");
  const start = performance.now();
  const decoded = await readRadiograph(file);
  radiograph = {...decoded, name: file.name, milliseconds: performance.now() - start};
  await scoreAgain();
  element("card").scrollIntoView({block: "nearest"}); // on a phone the card is below the button
}

async function scoreAgain() {
  const {model, accelerator, classifier} = await openChosen();
  if (!radiograph) {
    setStatus("Ready");
    return;
  }
  await showProgress("Scoring");
  const prediction = await classifier.predict(radiograph);
  prediction.milliseconds = {read: radiograph.milliseconds, ...prediction.milliseconds};
  showAnswer(radiograph.grey, prediction, {model, accelerator: ACCELERATORS[prediction.applied || accelerator]});
  setStatus(`Scored${radiograph.name ? ` ${radiograph.name}` : ""}`);
}

async function openChosen() {
  const model = models[element("model").selectedIndex];
  const accelerator = element("accelerator").value;
  if (open?.model === model && open.accelerator === accelerator) {
    element("problem").hidden = true;
    return open;
  }
  await showProgress(`Loading the model, ${megabytes(model.bytes)}`);
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
  throw new Error(`${url} cannot be fetched${response ? ` (${response.status})` : ""}; check the network and reload`);
}

// ---- input

function listenForImages() {
  for (const [button, input] of [["choose", "file"], ["capture", "camera"]]) {
    element(button).addEventListener("click", () => element(input).click());
    element(input).addEventListener("change", () => {
      scoreFiles(element(input).files);
      element(input).value = ""; // lets the same file be chosen again
    });
  }
  const drop = element("drop");
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault(); // by default a browser would open the file instead of this page
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") scoreFiles(event.dataTransfer.files);
    });
  }
  document.addEventListener("paste", (event) => scoreFiles(event.clipboardData.files));
}

function scoreFiles(list) {
  const files = Array.from(list);
  if (!files.length) return;
  enqueue(() => {
    if (files.length > 1) throw new Error(`${files.length} files were given; choose one radiograph at a time`);
    return scoreNew(files[0]);
  });
}

// ---- settings

async function fillSettings() {
  const variants = models.map((model) => model.variant);
  const ambiguous = new Set(variants).size < variants.length;
  element("model").append(...models.map((model) =>
    new Option(`${ambiguous ? model.file : model.variant} (${megabytes(model.bytes)})`)));
  const missing = await missingWebgpu();
  const usable = missing ? ["wasm"] : ["wasm", "webgpu"];
  element("accelerator").append(...usable.map((name) => new Option(ACCELERATORS[name], name)));
  element("accelerator-note").textContent = missing;
}

// The reason why there is no WebGPU; "" if there is.
async function missingWebgpu() {
  if (!isSecureContext) return "Browsers allow WebGPU only on pages from https or localhost.";
  if (!navigator.gpu) return "This browser has no WebGPU, or it is switched off.";
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter ? "" : "WebGPU finds no usable GPU on this device.";
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e5 ? 3 : 1)} MB`;

// ---- status

function setStatus(text) {
  element("state").textContent = text;
}

function showProgress(text) {
  element("problem").hidden = true;
  setStatus(`${text} ...`);
  return new Promise((resolve) => setTimeout(resolve, PAINT_MS));
}

const oneLine = (error) => String(error?.message ?? error).replace(/\s+/g, " ").trim().slice(0, 400);

enqueue(main);
