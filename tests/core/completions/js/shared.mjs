// What the scripts share: where the server is, and who asks.
export const { ADDRESS, TOKEN } = process.env;
export const headers = { Authorization: `Bearer ${TOKEN}` };
export const WORDS = "여울 is the stretch of a river where it runs fast";
export const SLOW = "60 words, 10 ms";
export const SLOW_TEXT = Array.from({ length: 60 }, (_, n) => `word${n + 1} `).join("");
export const ENDLESS = "100000 words, 20 ms";
