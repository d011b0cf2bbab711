export { Doorcode, type Handover, type Options, tidyCode } from "./client.js";
export { DoorcodeError, type ErrorCode } from "./error.js";
export { type HostedLogin, hostedLogin } from "./hosted.js";
export { type Held, memory, type Session, type Storage, webStorage } from "./storage.js";
