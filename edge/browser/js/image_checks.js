// Checks whether an image is a bone radiograph that can be scored: edge/prediction/image_checks.py, with its messages.

import {constants} from "./constants.js";

// The warnings by kind, for a decoded image whose sides become `enlarged` times longer in the model's input. `negative`
// gives the out-of-distribution score of the inverted image; it is called only when it is needed.
export async function imageWarnings({grey, chroma}, enlarged, oodScore, negative) {
  const {texts, flat, enlarged_limit: enlargedLimit, colour_limit: colourLimit} = constants.image_checks;
  let [darkest, brightest] = [255, 0];
  for (const value of grey.data) {
    if (value < darkest) darkest = value;
    if (value > brightest) brightest = value;
  }
  if (brightest - darkest < flat) return {blank: texts.blank};
  const warnings = {};
  if (enlarged > enlargedLimit) warnings.small = texts.small.replace("{size}", `${grey.width} x ${grey.height}`);
  if (chroma > colourLimit) warnings.coloured = texts.coloured;
  if (oodScore !== null && oodScore > 1) {
    if (!warnings.coloured && await negative() <= 1) warnings.inverted = texts.inverted;
    else warnings.unfamiliar = texts.unfamiliar.replace("{times}", oodScore.toFixed(1));
  }
  return warnings;
}
