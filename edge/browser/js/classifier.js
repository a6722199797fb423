// A model file and an image in, a prediction out: edge/prediction/classifier.py and edge/prediction/router.py.

import {kindOf, specOf} from "./description.js";
import {doubts} from "./image_checks.js";
import {unfamiliarityOf} from "./out_of_distribution.js";
import {checkDigest, readModel} from "./modelfile.js";
import {openNetwork} from "./network.js";
import {enlargement, fit} from "./preprocess.js";
import {forInput} from "./reduce.js";

// Open the bytes of a model file, a fracture model or a router, for "wasm" or "webgpu": {description, predict, close}.
//
// `predict(decoded)` of what `readRadiograph` gave answers {label, fractureProbability, logit, threshold, model,
// variant, warnings, unfamiliarity, bodyPart, bodyPartProbability, milliseconds, activationMap, spec, applied, reason};
// predictions asked for at once are made one after the other.
export async function openClassifier(bytes, {accelerator = "wasm"} = {}) {
  const file = readModel(bytes);
  const kind = kindOf(file.description);
  await checkDigest(file.flatbuffer, file.description.flatbuffer.sha256, "the model");
  const open = kind === "router" ? openRouter : openFracture;
  const {predict, close} = await open(file, accelerator);
  let before = Promise.resolve();
  const inTurn = (decoded) => {
    const answer = before.then(() => predict(decoded));
    before = answer.catch(() => null);
    return answer;
  };
  return {description: file.description, predict: inTurn, close};
}

async function openFracture({description, flatbuffer}, accelerator) {
  const spec = specOf(description);
  const network = await openNetwork(flatbuffer, spec, 1, accelerator);
  const predict = async (decoded) => {
    const milliseconds = {preprocess: 0, invoke: 0, check: 0};
    const image = await timed(milliseconds, "preprocess", () => fitted(decoded, spec));
    return score({description, spec, network}, decoded, image, milliseconds);
  };
  return {predict, close: network.close};
}

function fitted(decoded, spec) {
  const grey = forInput(decoded, spec);
  return {grey, pixels: fit(grey, spec)};
}

// The answer for an image that is fitted to `spec` already.
async function score({description, spec, network}, decoded, {grey, pixels}, milliseconds) {
  const outputs = await timed(milliseconds, "invoke", () => network.run(pixels));
  const [logit] = outputs.values;
  if (!Number.isFinite(logit)) throw new Error(`the model's output is ${logit}; convert it again`);
  const {slope, intercept} = description.probability_calibration;
  const probability = sigmoid(slope * logit + intercept);
  const unfamiliarity = unfamiliarityIn(outputs, description);
  const negative = async () => {
    const data = grey.data.map((value) => 255 - value);
    return unfamiliarityIn(await network.run(fit({...grey, data}, spec)), description);
  };
  const warnings = await timed(milliseconds, "check", () =>
    doubts({...decoded, grey}, enlargement(spec, grey.width, grey.height), unfamiliarity, negative));
  return {
    label: probability >= description.threshold.value ? "fractured" : "normal",
    fractureProbability: probability,
    logit,
    threshold: description.threshold.value,
    model: description.name,
    variant: description.variant,
    warnings,
    unfamiliarity,
    bodyPart: null,
    bodyPartProbability: null,
    milliseconds,
    activationMap: outputs.activationMap,
    spec,
    applied: network.applied,
    reason: network.reason,
  };
}

function unfamiliarityIn({features}, {out_of_distribution: known}) {
  if (!known || !features) return null;
  if (features.length !== known.mean.length) {
    throw new Error(`the model gives ${features.length} features but describes ${known.mean.length}; convert it again`);
  }
  return unfamiliarityOf(features, known);
}

// A part's fracture model is opened when the first of its images comes, and kept.
async function openRouter({description, flatbuffer, stage}, accelerator) {
  const spec = specOf(description);
  const network = await openNetwork(flatbuffer, spec, description.labels.length, accelerator);
  const stages = new Map();
  const predict = async (decoded) => {
    const milliseconds = {preprocess: 0, invoke: 0, load: 0, check: 0};
    let image = await timed(milliseconds, "preprocess", () => fitted(decoded, spec));
    const {values} = await timed(milliseconds, "invoke", () => network.run(image.pixels));
    const shares = softmax(values, description.probability_calibration.temperature);
    const best = shares.indexOf(Math.max(...shares));
    const part = description.labels[best];
    await timed(milliseconds, "load", async () => {
      if (!stages.has(part)) stages.set(part, await openStage(stage(part), description.stages[part], accelerator));
    });
    const chosen = stages.get(part);
    if (JSON.stringify(chosen.spec) !== JSON.stringify(spec)) {
      image = await timed(milliseconds, "preprocess", () => fitted(decoded, chosen.spec));
    }
    const answer = await score(chosen, decoded, image, milliseconds);
    return {...answer, model: description.name, bodyPart: part, bodyPartProbability: shares[best]};
  };
  const close = () => [network, ...Array.from(stages.values(), (one) => one.network)].forEach((one) => one.close());
  return {predict, close};
}

async function openStage(bytes, listed, accelerator) {
  await checkDigest(bytes, listed.sha256, "a stage of the model");
  const {description, flatbuffer} = readModel(bytes);
  if (kindOf(description) === "router") throw new Error("a stage of the model is a router itself; convert it again");
  const spec = specOf(description);
  return {description, spec, network: await openNetwork(flatbuffer, spec, 1, accelerator)};
}

// Calibrated probabilities.
function softmax(logits, temperature) {
  if (!logits.every(Number.isFinite)) throw new Error(`the model's output is ${logits}; convert it again`);
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const highest = Math.max(...scaled);
  const powers = scaled.map((value) => Math.exp(value - highest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((power) => power / sum);
}

// Without overflow at either end.
function sigmoid(value) {
  if (value >= 0) return 1 / (1 + Math.exp(-value));
  return Math.exp(value) / (1 + Math.exp(value));
}

// Add the time that `work` takes to a step's.
async function timed(milliseconds, step, work) {
  const start = performance.now();
  const done = await work();
  milliseconds[step] += performance.now() - start;
  return done;
}
