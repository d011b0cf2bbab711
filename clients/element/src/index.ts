import { DoorcodeLogin } from "./element.js";

if (!customElements.get("doorcode-login")) customElements.define("doorcode-login", DoorcodeLogin);

export * from "doorcode-js";
export { DoorcodeLogin };
