"use strict";
// The page comes alive: tables first, since choosers ask them.

function makeText(section) {
  const button = section.querySelector(".copy"), text = section.querySelector(".text");
  button?.addEventListener("click", async () => {
    getSelection().selectAllChildren(text); // for Ctrl+C, where the clipboard is not for us
    try {
      await navigator.clipboard.writeText(text.innerText.trim());
      button.textContent = "Copied";
    } catch {
      button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
    }
  });
}

const MAKERS = { table: makeTable, figure: makeFigure, chooser: makeChooser, text: makeText };
for (const [kind, make] of Object.entries(MAKERS))
  for (const section of document.querySelectorAll(`section[data-kind=${kind}]`)) make(section);
window.addEventListener("beforeprint", () => Object.keys(figures).forEach(draw));
