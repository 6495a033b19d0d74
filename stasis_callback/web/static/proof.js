"use strict";
// Proof of work by ALTCHA's scheme: callbackProof(url) fetches a challenge and finds the number that it hides.
// With a SHA-256 of its own, because pages without https have no crypto.subtle.
(() => {
  const K = [], FIRST = [];
  const part = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  for (let n = 2; K.length < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    if (FIRST.length < 8) FIRST.push(part(Math.sqrt(n)));
    K.push(part(Math.cbrt(n)));
  }
  const W = new Int32Array(64);
  const turn = (x, by) => (x >>> by) | (x << (32 - by));

  const sha256 = (text) => {
    const length = text.length, size = ((length + 8) >> 6) * 64 + 64;
    const bytes = new DataView(new ArrayBuffer(size));
    for (let i = 0; i < length; i++) bytes.setUint8(i, text.charCodeAt(i));
    bytes.setUint8(length, 0x80);
    bytes.setUint32(size - 4, length * 8);
    const H = FIRST.slice();
    for (let at = 0; at < size; at += 64) {
      for (let i = 0; i < 64; i++) {
        if (i < 16) { W[i] = bytes.getInt32(at + i * 4); continue; }
        const x = W[i - 15], y = W[i - 2];
        W[i] = (W[i - 16] + W[i - 7] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10))) | 0;
      }
      let [a, b, c, d, e, f, g, h] = H;
      for (let i = 0; i < 64; i++) {
        const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
        const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
      }
      [a, b, c, d, e, f, g, h].forEach((word, i) => { H[i] = (H[i] + word) | 0; });
    }
    return H.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  };

  window.callbackProof = async (url) => {
    const asked = await (await fetch(url, { headers: { Accept: "application/json" } })).json();
    for (let number = 0; number <= asked.maxnumber; number++) {
      if (sha256(asked.salt + number) === asked.challenge) {
        const { algorithm, challenge, salt, signature } = asked;
        return btoa(JSON.stringify({ algorithm, challenge, number, salt, signature }));
      }
      if (number % 1000 === 999) await new Promise((go) => setTimeout(go));
    }
    throw new Error("no solution");
  };
})();
