// What Python says, so that it is not written twice; `osteolite.edge.browser.constants()` makes the file.

const response = await fetch(new URL("../constants.json", import.meta.url));
if (!response.ok) throw new Error(`constants.json cannot be fetched (${response.status}); make the folder again`);

export const constants = await response.json();
