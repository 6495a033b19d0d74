"use strict";
// Checks fields as they are left, with the words the page brought along. The server checks everything again.
(() => {
  const form = document.querySelector("form");
  const problems = document.getElementById("problems");
  if (problems) problems.focus();
  if (!form) return;

  const problemOf = (input) => {
    const text = input.value.trim();
    if (!text) return input.required ? form.dataset.required : "";
    if (input.type !== "tel") return "";
    const digits = text.replace(/\D/g, "");
    const wellFormed = /^\(?\+?[0-9][0-9 ().\-/]*$/.test(text);
    return wellFormed && digits.length >= 5 && digits.length <= 17 ? "" : form.dataset.badNumber;
  };

  const show = (input) => {
    const problem = problemOf(input);
    document.getElementById(`${input.id}-problem`).textContent = problem;
    input.closest(".field").classList.toggle("wrong", Boolean(problem));
    if (problem) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    return problem;
  };

  const inputs = [...form.querySelectorAll("input:not([type=hidden])")];
  for (const input of inputs) {
    input.addEventListener("blur", () => { if (input.value) show(input); });
    input.addEventListener("input", () => { if (input.hasAttribute("aria-invalid")) show(input); });
  }
  form.addEventListener("submit", (event) => {
    const wrong = inputs.filter((input) => show(input));
    if (wrong.length) {
      event.preventDefault();
      wrong[0].focus();
      return;
    }
    if (!form.dataset.proof || form.elements.altcha.value) return;
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    window.callbackProof(form.dataset.proof)
      .then((solution) => { form.elements.altcha.value = solution; })
      .catch(() => {})  // the server says what is missing
      .finally(() => form.submit());
  });
})();
