import { Portal, Trouble, tidy } from "./portal.js";

const $ = (id) => document.getElementById(id);
const portal = new Portal(await (await fetch("portal.json")).json());
window.portal = portal;
let email = "";

function show(id, words) {
  for (const part of ["email-form", "code-form", "account"]) $(part).hidden = part !== id;
  $("status").textContent = words;
  ({ "email-form": $("email"), "code-form": $("code"), account: $("title") })[id].focus();
}

// One click, one call; what went wrong is said where screen readers hear it.
async function busy(part, work) {
  const buttons = part.querySelectorAll("button");
  buttons.forEach((button) => (button.disabled = true));
  try {
    await work();
  } catch (error) {
    const limited = error instanceof Trouble && error.status === 429;
    $("status").textContent = limited
      ? `Too many tries. Please wait ${error.retryAfter} seconds.`
      : "That did not work. Please try again in a moment.";
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

function account(session) {
  $("customer").textContent = session.customer_id;
  const since = session.auth_time ? new Date(session.auth_time * 1000) : new Date();
  $("since").textContent = since.toLocaleString();
  show("account", "You are logged in.");
}

async function mailCode() {
  await portal.mailCode(email);
  $("code").value = "";
  show("code-form", `If ${email} is a customer's address, a code is on its way.`);
}

$("email-form").addEventListener("submit", (event) => {
  event.preventDefault();
  email = $("email").value.trim();
  busy(event.target, mailCode);
});
$("code-form").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(event.target, async () => {
    const session = await portal.logIn(email, $("code").value);
    if (session) account(session);
    else {
      show("code-form", "That code is wrong or has expired.");
      $("code").select(); // the next paste replaces it
    }
  });
});
$("code").addEventListener("input", () => { $("code").value = tidy($("code").value).slice(0, 6); });
$("letters").addEventListener("click", () => { $("code").inputMode = "text"; $("code").focus(); });
$("again").addEventListener("click", () => busy($("code-form"), mailCode));
$("other").addEventListener("click", () => show("email-form", ""));
$("logout").addEventListener("click", () => busy($("account"), () => portal.logOut()));
$("logout-all").addEventListener("click", () => busy($("account"), () => portal.logOut(true)));
portal.onend = () => show("email-form", "You are logged out.");

const session = await portal.resume().catch(() => null);
if (session) account(session);
else show("email-form", "Please log in.");
document.body.dataset.ready = "yes";
