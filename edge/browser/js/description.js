// Checks those parts of a model file's description that the prediction depends on: edge/modelfile/description.py.

const SCHEMA = 1;
const CHOICES = {
  aspect: ["pad", "squeeze"], interpolation: ["box", "bilinear", "bicubic", "lanczos"], channels: ["grey", "rgb"],
};
const DEFAULTS = {
  width: 224, height: 224, aspect: "pad", interpolation: "bilinear", channels: "rgb", mean: 127.5, std: 127.5,
};
const MAX_SIDE = 4096;
const FRACTURE = "fracture";
const ROUTER = "router";

const within = (value, least, most) => typeof value === "number" && value >= least && value <= most;
const side = (value) => Number.isInteger(value) && within(value, 1, MAX_SIDE);

// The kind of a usable description: "fracture" or "router".
export function kindOf(description) {
  const kind = description.kind ?? FRACTURE;
  need(description.schema === SCHEMA, `schema ${description.schema}; this page reads ${SCHEMA}`);
  if (kind !== FRACTURE && kind !== ROUTER) {
    throw new Error(`a model of kind ${kind}, which gives no fracture probability; use a fracture model or a router`);
  }
  const calibration = description.probability_calibration ?? {};
  if (kind === ROUTER) {
    const bodyParts = description.labels;
    need(Array.isArray(bodyParts) && within(bodyParts.length, 2, 64), "its body parts");
    need(bodyParts.every((bodyPart) => description.stages?.[bodyPart]), "a body part without its stage");
    need(within(calibration.temperature, 1e-3, 1e3), "its temperature");
  } else {
    need(String(description.labels) === "normal,fractured", "its labels");
    need(within(calibration.slope, -1e6, 1e6) && within(calibration.intercept, -1e6, 1e6), "its calibration");
    const threshold = description.threshold?.value;
    need(within(threshold, 0, 1) && threshold > 0 && threshold < 1, "its threshold");
    checkLimit(description.out_of_distribution ?? null);
  }
  return kind;
}

// The preprocessing spec, with the defaults filled in.
export function specOf(description) {
  const spec = {...DEFAULTS, ...description.preprocessing};
  need(Object.keys(spec).length === Object.keys(DEFAULTS).length, "its preprocessing");
  need(side(spec.width) && side(spec.height), "the size of its input");
  for (const [name, allowed] of Object.entries(CHOICES)) need(allowed.includes(spec[name]), `its ${name}`);
  need(within(spec.mean, -1e6, 1e6) && within(spec.std, 1e-6, 1e6), "its mean or std");
  return spec;
}

function checkLimit(values) {
  if (values === null) return;
  const {mean, scale, basis, limit} = values;
  const isVector = (row) => Array.isArray(row) && row.length === mean.length && row.every(Number.isFinite);
  const complete = Array.isArray(mean) && Array.isArray(basis) && [mean, scale, ...basis].every(isVector);
  need(complete && scale.every((value) => value > 0) && limit > 0, "its out-of-distribution limits");
}

function need(valid, what) {
  if (!valid) throw new Error(`the model's osteolite.json is not valid (${what}); convert the run again`);
}
