// Whether an image looks like the radiographs that a model knows: edge/modelfile/out_of_distribution.py.

// How unfamiliar features are, in shares of the limit of `out_of_distribution` in osteolite.json; above 1 it warns.
export function unfamiliarityOf(features, {mean, scale, basis, limit}) {
  const standard = Float64Array.from(features, (value, place) => (value - mean[place]) / scale[place]);
  const left = Float64Array.from(standard);
  for (const direction of basis) {
    let along = 0;
    for (let place = 0; place < standard.length; place++) along += standard[place] * direction[place];
    for (let place = 0; place < standard.length; place++) left[place] -= along * direction[place];
  }
  return left.reduce((sum, value) => sum + value * value, 0) / left.length / limit;
}
