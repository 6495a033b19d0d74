"use strict";
// <callback-form src="https://callback.example.com/web/NAME" return-url="/thanks"></callback-form>
// Shows the form of a web instance in a page of another site, asks for the callback, and follows it.
// The site must be one of the instance's `allowed_origins`.
// Attributes: src, lang, client, reference, return-url, country (of numbers without a country code: GB; "ask": a list).
(() => {
  const HERE = document.currentScript.src;
  const STYLE = `
    :host { display: block; font: inherit; }
    form, .follow { display: grid; gap: 0.75em; max-width: 24em; }
    label { display: grid; gap: 0.25em; }
    input, button, select { font: inherit; padding: 0.5em; }
    small { opacity: 0.8; }
    .wrong { color: #b00020; }
    [hidden] { display: none; }`;

  const made = (name, values = {}, ...parts) => {
    const element = Object.assign(document.createElement(name), values);
    element.append(...parts);
    return element;
  };

  customElements.define("callback-form", class extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return;
      this.attachShadow({ mode: "open" }).append(made("style", { textContent: STYLE }));
      this.show().catch(() => this.tell("…", true));
    }

    get address() {
      const address = new URL(this.getAttribute("src"), location.href);
      for (const [name, value] of [["lang", this.lang], ["client", this.getAttribute("client")]]) {
        if (value) address.searchParams.set(name, value);
      }
      return address;
    }

    async show() {
      const answer = await fetch(this.address, { headers: { Accept: "application/json" } });
      const about = await answer.json();
      if (!answer.ok) throw new Error(about.code);
      this.words = about;
      this.said = made("p", { role: "status", hidden: true });
      const fields = about.fields.map((field) => {
        const input = made("input", { name: field.name, type: field.type, autocomplete: field.autocomplete, required: field.required, maxLength: 64 });
        const hint = field.hint ? [made("small", { textContent: field.hint })] : [];
        return made("label", {}, field.label, input, ...hint);
      });
      this.button = made("button", { type: "submit", textContent: about.submit });
      if (this.getAttribute("country") === "ask") fields.splice(-1, 0, this.countries());
      this.form = made("form", { lang: about.language }, made("strong", { textContent: about.title }), ...fields, this.button);
      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.ask();
      });
      // The same key until it is answered: who presses twice is called once.
      this.key = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
      this.shadowRoot.append(this.form, this.said);
    }

    countries() {
      const names = new Intl.DisplayNames([this.words.language], { type: "region" });
      const usual = this.words.country || new Intl.Locale(navigator.language).maximize().region;
      const options = Object.entries(this.words.countries).map(([region, code]) => [names.of(region), region, code])
        .sort(([one], [other]) => one.localeCompare(other, this.words.language))
        .map(([name, region, code]) => made("option", { value: region, textContent: `${name} (+${code})`, selected: region === usual }));
      return made("label", {}, this.words.country_label, made("select", { name: "country", autocomplete: "country" }, ...options));
    }

    async proof() {
      if (!window.callbackProof) {
        const script = made("script", { src: new URL("proof.js", HERE).href });
        document.head.append(script);
        await new Promise((go, fail) => { script.onload = go; script.onerror = fail; });
      }
      return window.callbackProof(new URL(`${this.address.pathname}/challenge`, this.address));
    }

    async ask() {
      const body = new URLSearchParams(new FormData(this.form));
      body.set("language", this.words.language);
      body.set("form_key", this.key);
      for (const name of ["client", "reference", ...(this.getAttribute("country") === "ask" ? [] : ["country"])]) {
        if (this.getAttribute(name)) body.set(name, this.getAttribute(name));
      }
      this.button.disabled = true;
      try {
        if (this.words.proof_of_work) body.set("altcha", await this.proof());
        const answer = await fetch(this.address, { method: "POST", body, headers: { Accept: "application/json" } });
        const about = await answer.json();
        if (answer.ok) this.follow(about);
        else this.tell(about.detail || about.title, true);
      } catch {
        this.tell(this.words.trouble, true);
      }
      this.button.disabled = false;
    }

    follow(callback) {
      this.dispatchEvent(new CustomEvent("callback-requested", { detail: callback, bubbles: true }));
      this.form.hidden = true;
      const cancel = made("button", { type: "button", textContent: this.words.cancel });
      cancel.addEventListener("click", () => fetch(`${callback.status_url}/cancel`, { method: "POST" }));
      this.shadowRoot.append(cancel);
      const source = new EventSource(`${callback.status_url}/events`);
      source.addEventListener("progress", (event) => {
        const { step, now, over, failed } = JSON.parse(event.data);
        this.tell(now, failed);
        this.dispatchEvent(new CustomEvent("callback-progress", { detail: { step, now, over, failed }, bubbles: true }));
        if (!over) return;
        source.close();
        cancel.remove();
        const back = this.getAttribute("return-url");
        if (back) location.assign(back);
      });
    }

    tell(text, wrong) {
      this.said ??= this.shadowRoot.appendChild(made("p", { role: "status" }));
      this.said.textContent = text;
      this.said.hidden = false;
      this.said.className = wrong ? "wrong" : "";
    }
  });
})();
