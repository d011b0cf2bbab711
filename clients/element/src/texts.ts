/** Every text of the form. `{email}`, `{when}` and `{id}` are filled in. */
export interface Texts {
  title: string;
  email: string;
  emailHint: string;
  send: string;
  sent: string;
  code: string;
  codeHint: string;
  verify: string;
  letters: string;
  resend: string;
  resendIn: string;
  other: string;
  wait: string;
  signedIn: string;
  signOut: string;
  signOutAll: string;
  signedOut: string;
  expired: string;
  emailMissing: string;
  emailInvalid: string;
  codeMissing: string;
  codeInvalid: string;
  codeSpent: string;
  codeExpired: string;
  answerLost: string;
  rateLimited: string;
  offline: string;
  unavailable: string;
  rejected: string;
}

const en: Texts = {
  title: "Sign in",
  email: "Email address",
  emailHint: "We will email you a code. There is no password.",
  send: "Email me a code",
  sent: "If {email} can sign in here, its inbox has a code now or within a minute.",
  code: "Code from the email",
  codeHint: "Six digits or letters, good for ten minutes. You can paste them.",
  verify: "Sign in",
  letters: "My code has letters",
  resend: "Send the code again",
  resendIn: "Send again {when}",
  other: "Use another address",
  wait: "Try again {when}",
  signedIn: "You are signed in.",
  signOut: "Sign out",
  signOutAll: "Sign out on all devices",
  signedOut: "You are signed out.",
  expired: "Your session has ended. Please sign in again.",
  emailMissing: "Enter your email address.",
  emailInvalid: "This is not a complete email address. It should look like ann@example.com.",
  codeMissing: "Enter all six characters of the code.",
  codeInvalid: "This code is wrong or has expired. Compare it with the newest email, or have it sent again.",
  codeSpent: "After five wrong tries this code no longer works. Have a new one sent.",
  codeExpired: "Your code has expired. Have a new one sent.",
  answerLost: "The connection broke while you were signing in. Have a new code sent.",
  rateLimited: "Too many tries from your network. Try again {when}.",
  offline: "The server cannot be reached. Check your connection, then try again.",
  unavailable: "The server is busy. Try again in a moment.",
  rejected: "This did not work. If it stays so, tell the operator of this site the number {id}.",
};

const de: Texts = {
  title: "Anmelden",
  email: "E-Mail-Adresse",
  emailHint: "Sie bekommen einen Code per E-Mail. Ein Passwort gibt es nicht.",
  send: "Code per E-Mail senden",
  sent: "Wenn {email} sich hier anmelden kann, liegt im Postfach jetzt oder innerhalb einer Minute ein Code.",
  code: "Code aus der E-Mail",
  codeHint: "Sechs Ziffern oder Buchstaben, zehn Minuten gültig. Einfügen ist möglich.",
  verify: "Anmelden",
  letters: "Mein Code hat Buchstaben",
  resend: "Code noch einmal senden",
  resendIn: "Noch einmal senden {when}",
  other: "Andere Adresse verwenden",
  wait: "Neuer Versuch {when}",
  signedIn: "Sie sind angemeldet.",
  signOut: "Abmelden",
  signOutAll: "Auf allen Geräten abmelden",
  signedOut: "Sie sind abgemeldet.",
  expired: "Ihre Sitzung ist beendet. Bitte melden Sie sich neu an.",
  emailMissing: "Geben Sie Ihre E-Mail-Adresse ein.",
  emailInvalid: "Das ist keine vollständige E-Mail-Adresse. Sie sieht zum Beispiel so aus: ann@example.com.",
  codeMissing: "Geben Sie alle sechs Zeichen des Codes ein.",
  codeInvalid:
    "Dieser Code ist falsch oder abgelaufen. Vergleichen Sie ihn mit der neuesten E-Mail oder lassen Sie ihn noch einmal senden.",
  codeSpent: "Nach fünf Fehlversuchen gilt dieser Code nicht mehr. Lassen Sie einen neuen senden.",
  codeExpired: "Ihr Code ist abgelaufen. Lassen Sie einen neuen senden.",
  answerLost: "Die Verbindung brach während der Anmeldung ab. Lassen Sie einen neuen Code senden.",
  rateLimited: "Zu viele Versuche aus Ihrem Netz. Versuchen Sie es {when} noch einmal.",
  offline: "Der Server ist nicht erreichbar. Prüfen Sie Ihre Verbindung und versuchen Sie es noch einmal.",
  unavailable: "Der Server ist ausgelastet. Versuchen Sie es gleich noch einmal.",
  rejected: "Das hat nicht geklappt. Wenn es so bleibt, nennen Sie dem Betreiber dieser Seite die Nummer {id}.",
};

const fr: Texts = {
  title: "Se connecter",
  email: "Adresse e-mail",
  emailHint: "Vous recevrez un code par e-mail. Il n’y a pas de mot de passe.",
  send: "Recevoir un code par e-mail",
  sent: "Si {email} peut se connecter ici, un code est dans sa boîte de réception, ou y sera d’ici une minute.",
  code: "Code reçu par e-mail",
  codeHint: "Six chiffres ou lettres, valables dix minutes. Vous pouvez les coller.",
  verify: "Se connecter",
  letters: "Mon code contient des lettres",
  resend: "Renvoyer le code",
  resendIn: "Renvoyer {when}",
  other: "Utiliser une autre adresse",
  wait: "Réessayer {when}",
  signedIn: "Vous êtes connecté.",
  signOut: "Se déconnecter",
  signOutAll: "Se déconnecter de tous les appareils",
  signedOut: "Vous êtes déconnecté.",
  expired: "Votre session est terminée. Veuillez vous reconnecter.",
  emailMissing: "Saisissez votre adresse e-mail.",
  emailInvalid: "Cette adresse e-mail est incomplète. Elle doit ressembler à ann@example.com.",
  codeMissing: "Saisissez les six caractères du code.",
  codeInvalid: "Ce code est faux ou a expiré. Comparez-le au dernier e-mail reçu, ou demandez à le renvoyer.",
  codeSpent: "Après cinq essais erronés, ce code n’est plus valable. Demandez-en un nouveau.",
  codeExpired: "Votre code a expiré. Demandez-en un nouveau.",
  answerLost: "La connexion au réseau a été coupée. Demandez un nouveau code.",
  rateLimited: "Trop d’essais depuis votre réseau. Réessayez {when}.",
  offline: "Le serveur est injoignable. Vérifiez votre connexion, puis réessayez.",
  unavailable: "Le serveur est occupé. Réessayez dans un instant.",
  rejected: "Cela n’a pas fonctionné. Si cela persiste, indiquez à l’exploitant de ce site le numéro {id}.",
};

const es: Texts = {
  title: "Iniciar sesión",
  email: "Correo electrónico",
  emailHint: "Le enviaremos un código por correo. No hay contraseña.",
  send: "Enviarme un código",
  sent: "Si {email} puede iniciar sesión aquí, su buzón tiene un código ya o lo tendrá en un minuto.",
  code: "Código del correo",
  codeHint: "Seis cifras o letras, válidas durante diez minutos. Puede pegarlas.",
  verify: "Iniciar sesión",
  letters: "Mi código tiene letras",
  resend: "Enviar el código otra vez",
  resendIn: "Enviar otra vez {when}",
  other: "Usar otra dirección",
  wait: "Reintentar {when}",
  signedIn: "Ha iniciado sesión.",
  signOut: "Cerrar sesión",
  signOutAll: "Cerrar sesión en todos los dispositivos",
  signedOut: "Ha cerrado la sesión.",
  expired: "Su sesión ha terminado. Vuelva a iniciar sesión.",
  emailMissing: "Escriba su correo electrónico.",
  emailInvalid: "La dirección de correo no está completa. Debe ser como ann@example.com.",
  codeMissing: "Escriba los seis caracteres del código.",
  codeInvalid: "El código es incorrecto o ha caducado. Compárelo con el último correo o pida que se envíe otra vez.",
  codeSpent: "Tras cinco intentos fallidos este código ya no vale. Pida uno nuevo.",
  codeExpired: "Su código ha caducado. Pida uno nuevo.",
  answerLost: "La conexión se cortó al iniciar sesión. Pida un código nuevo.",
  rateLimited: "Demasiados intentos desde su red. Vuelva a intentarlo {when}.",
  offline: "No se puede acceder al servidor. Compruebe su conexión y vuelva a intentarlo.",
  unavailable: "El servidor está ocupado. Vuelva a intentarlo en un momento.",
  rejected: "No ha funcionado. Si sigue así, indique al responsable de este sitio el número {id}.",
};

const ptBR: Texts = {
  title: "Entrar",
  email: "Endereço de e-mail",
  emailHint: "Enviaremos um código por e-mail. Não há senha.",
  send: "Enviar código por e-mail",
  sent: "Se {email} pode entrar aqui, há um código na caixa de entrada agora ou em até um minuto.",
  code: "Código do e-mail",
  codeHint: "Seis dígitos ou letras, válidos por dez minutos. Você pode colar.",
  verify: "Entrar",
  letters: "Meu código tem letras",
  resend: "Enviar o código de novo",
  resendIn: "Enviar de novo {when}",
  other: "Usar outro endereço",
  wait: "Tentar de novo {when}",
  signedIn: "Você entrou.",
  signOut: "Sair",
  signOutAll: "Sair de todos os dispositivos",
  signedOut: "Você saiu.",
  expired: "Sua sessão terminou. Entre novamente.",
  emailMissing: "Digite seu endereço de e-mail.",
  emailInvalid: "Este endereço de e-mail não está completo. Deve ser como ann@example.com.",
  codeMissing: "Digite os seis caracteres do código.",
  codeInvalid: "Este código está errado ou expirou. Compare com o e-mail mais recente ou peça para enviar de novo.",
  codeSpent: "Após cinco tentativas erradas este código não vale mais. Peça um novo.",
  codeExpired: "Seu código expirou. Peça um novo.",
  answerLost: "A conexão caiu durante a entrada. Peça um novo código.",
  rateLimited: "Tentativas demais da sua rede. Tente de novo {when}.",
  offline: "Não foi possível acessar o servidor. Verifique sua conexão e tente de novo.",
  unavailable: "O servidor está ocupado. Tente de novo em instantes.",
  rejected: "Não funcionou. Se continuar assim, informe ao responsável por este site o número {id}.",
};

const it: Texts = {
  title: "Accedi",
  email: "Indirizzo e-mail",
  emailHint: "Riceverà un codice via e-mail. Non c’è alcuna password.",
  send: "Invia il codice via e-mail",
  sent: "Se {email} può accedere qui, un codice è nella sua casella o arriverà entro un minuto.",
  code: "Codice ricevuto via e-mail",
  codeHint: "Sei cifre o lettere, valide dieci minuti. Può incollarle.",
  verify: "Accedi",
  letters: "Il mio codice contiene lettere",
  resend: "Invia di nuovo il codice",
  resendIn: "Invia di nuovo {when}",
  other: "Usa un altro indirizzo",
  wait: "Riprova {when}",
  signedIn: "Accesso effettuato.",
  signOut: "Esci",
  signOutAll: "Esci da tutti i dispositivi",
  signedOut: "È uscito.",
  expired: "La sessione è terminata. Acceda di nuovo.",
  emailMissing: "Inserisca il suo indirizzo e-mail.",
  emailInvalid: "L’indirizzo e-mail non è completo. Deve essere come ann@example.com.",
  codeMissing: "Inserisca tutti e sei i caratteri del codice.",
  codeInvalid: "Il codice è errato o scaduto. Lo confronti con l’e-mail più recente o lo faccia inviare di nuovo.",
  codeSpent: "Dopo cinque tentativi errati il codice non vale più. Ne faccia inviare uno nuovo.",
  codeExpired: "Il codice è scaduto. Ne faccia inviare uno nuovo.",
  answerLost: "La connessione si è interrotta durante l’accesso. Faccia inviare un nuovo codice.",
  rateLimited: "Troppi tentativi dalla sua rete. Riprovi {when}.",
  offline: "Il server non è raggiungibile. Controlli la connessione e riprovi.",
  unavailable: "Il server è occupato. Riprovi tra un momento.",
  rejected: "Non ha funzionato. Se il problema continua, comunichi al gestore del sito il numero {id}.",
};

const nl: Texts = {
  title: "Inloggen",
  email: "E-mailadres",
  emailHint: "U krijgt een code per e-mail. Er is geen wachtwoord.",
  send: "Stuur mij een code",
  sent: "Als {email} hier kan inloggen, staat er nu of binnen een minuut een code in de inbox.",
  code: "Code uit de e-mail",
  codeHint: "Zes cijfers of letters, tien minuten geldig. Plakken kan.",
  verify: "Inloggen",
  letters: "Mijn code bevat letters",
  resend: "Stuur de code opnieuw",
  resendIn: "Opnieuw sturen {when}",
  other: "Ander adres gebruiken",
  wait: "Opnieuw proberen {when}",
  signedIn: "U bent ingelogd.",
  signOut: "Uitloggen",
  signOutAll: "Op alle apparaten uitloggen",
  signedOut: "U bent uitgelogd.",
  expired: "Uw sessie is beëindigd. Log opnieuw in.",
  emailMissing: "Vul uw e-mailadres in.",
  emailInvalid: "Dit e-mailadres is niet volledig. Het ziet er zo uit: ann@example.com.",
  codeMissing: "Vul alle zes tekens van de code in.",
  codeInvalid: "Deze code is onjuist of verlopen. Vergelijk hem met de nieuwste e-mail of laat hem opnieuw sturen.",
  codeSpent: "Na vijf foute pogingen werkt deze code niet meer. Laat een nieuwe sturen.",
  codeExpired: "Uw code is verlopen. Laat een nieuwe sturen.",
  answerLost: "De verbinding viel weg tijdens het inloggen. Laat een nieuwe code sturen.",
  rateLimited: "Te veel pogingen vanaf uw netwerk. Probeer het {when} opnieuw.",
  offline: "De server is niet bereikbaar. Controleer uw verbinding en probeer het opnieuw.",
  unavailable: "De server is bezet. Probeer het zo weer.",
  rejected: "Dit is niet gelukt. Blijft het zo, geef de beheerder van deze site dan het nummer {id}.",
};

const pl: Texts = {
  title: "Logowanie",
  email: "Adres e-mail",
  emailHint: "Wyślemy kod e-mailem. Hasło nie jest potrzebne.",
  send: "Wyślij mi kod",
  sent: "Jeśli {email} może się tu zalogować, kod jest już w skrzynce lub dotrze w ciągu minuty.",
  code: "Kod z e-maila",
  codeHint: "Sześć cyfr lub liter, ważne dziesięć minut. Można je wkleić.",
  verify: "Zaloguj się",
  letters: "Mój kod ma litery",
  resend: "Wyślij kod ponownie",
  resendIn: "Wyślij ponownie {when}",
  other: "Użyj innego adresu",
  wait: "Spróbuj ponownie {when}",
  signedIn: "Zalogowano.",
  signOut: "Wyloguj się",
  signOutAll: "Wyloguj się na wszystkich urządzeniach",
  signedOut: "Wylogowano.",
  expired: "Sesja wygasła. Zaloguj się ponownie.",
  emailMissing: "Podaj swój adres e-mail.",
  emailInvalid: "To nie jest pełny adres e-mail. Powinien wyglądać tak: ann@example.com.",
  codeMissing: "Wpisz wszystkie sześć znaków kodu.",
  codeInvalid: "Kod jest błędny lub wygasł. Porównaj go z najnowszym e-mailem albo wyślij go ponownie.",
  codeSpent: "Po pięciu błędnych próbach ten kod już nie działa. Poproś o nowy.",
  codeExpired: "Kod wygasł. Poproś o nowy.",
  answerLost: "Połączenie zostało przerwane podczas logowania. Poproś o nowy kod.",
  rateLimited: "Zbyt wiele prób z Twojej sieci. Spróbuj ponownie {when}.",
  offline: "Nie można połączyć się z serwerem. Sprawdź połączenie i spróbuj ponownie.",
  unavailable: "Serwer jest zajęty. Spróbuj ponownie za chwilę.",
  rejected: "Nie udało się. Jeśli to się powtarza, podaj operatorowi tej strony numer {id}.",
};

const ja: Texts = {
  title: "ログイン",
  email: "メールアドレス",
  emailHint: "コードをメールでお送りします。パスワードは不要です。",
  send: "コードをメールで受け取る",
  sent: "{email} でログインできる場合、コードは受信トレイに届いているか、1 分以内に届きます。",
  code: "メールに記載のコード",
  codeHint: "6 桁の数字または英字、有効期間は 10 分です。貼り付けもできます。",
  verify: "ログイン",
  letters: "コードに英字がある",
  resend: "コードを再送する",
  resendIn: "再送できます：{when}",
  other: "別のアドレスを使う",
  wait: "再試行できます：{when}",
  signedIn: "ログインしています。",
  signOut: "ログアウト",
  signOutAll: "すべての端末でログアウト",
  signedOut: "ログアウトしました。",
  expired: "セッションが終了しました。もう一度ログインしてください。",
  emailMissing: "メールアドレスを入力してください。",
  emailInvalid: "メールアドレスが不完全です。ann@example.com のように入力してください。",
  codeMissing: "コードの 6 文字をすべて入力してください。",
  codeInvalid: "コードが違うか、有効期限が切れています。最新のメールと見比べるか、再送してください。",
  codeSpent: "5 回間違えたため、このコードは使えません。新しいコードを送ってください。",
  codeExpired: "コードの有効期限が切れました。新しいコードを送ってください。",
  answerLost: "ログイン中に接続が切れました。新しいコードを送ってください。",
  rateLimited: "お使いのネットワークからの試行が多すぎます。もう一度お試しください：{when}",
  offline: "サーバーに接続できません。接続を確認して、もう一度お試しください。",
  unavailable: "サーバーが混み合っています。しばらくしてからもう一度お試しください。",
  rejected: "うまくいきませんでした。続く場合は、このサイトの運営者に番号 {id} をお伝えください。",
};

const zhCN: Texts = {
  title: "登录",
  email: "电子邮箱地址",
  emailHint: "我们会通过邮件向您发送验证码，无需密码。",
  send: "向我发送验证码",
  sent: "如果 {email} 可以在此登录，验证码已在收件箱中，或将在一分钟内送达。",
  code: "邮件中的验证码",
  codeHint: "六位数字或字母，十分钟内有效，可以粘贴。",
  verify: "登录",
  letters: "我的验证码含有字母",
  resend: "重新发送验证码",
  resendIn: "{when}可重新发送",
  other: "使用其他地址",
  wait: "{when}可重试",
  signedIn: "您已登录。",
  signOut: "退出登录",
  signOutAll: "在所有设备上退出登录",
  signedOut: "您已退出登录。",
  expired: "会话已结束，请重新登录。",
  emailMissing: "请输入您的电子邮箱地址。",
  emailInvalid: "电子邮箱地址不完整，应类似 ann@example.com。",
  codeMissing: "请输入验证码的全部六个字符。",
  codeInvalid: "验证码错误或已过期。请与最新的邮件核对，或重新发送。",
  codeSpent: "输错五次后，此验证码已失效。请发送新的验证码。",
  codeExpired: "验证码已过期，请发送新的验证码。",
  answerLost: "登录时连接中断，请发送新的验证码。",
  rateLimited: "来自您网络的尝试次数过多，请{when}重试。",
  offline: "无法连接服务器。请检查网络连接后重试。",
  unavailable: "服务器繁忙，请稍后重试。",
  rejected: "操作未成功。如果问题持续，请将编号 {id} 告知本网站的运营者。",
};

/** By BCP 47 tag. */
export const LANGUAGES: Record<string, Texts> = { en, de, fr, es, "pt-BR": ptBR, it, nl, pl, ja, "zh-CN": zhCN };

/** The first of `wanted` that there is, by its language alone if need be ("de-AT" is "de", "pt" is "pt-BR"). */
export function choose(wanted: readonly string[]): string {
  const base = (tag: string) => tag.toLowerCase().split("-")[0];
  for (const tag of wanted) {
    const known = Object.keys(LANGUAGES);
    const found = known.find((one) => one.toLowerCase() === tag.toLowerCase()) ?? known.find((one) => base(one) === base(tag));
    if (found) return found;
  }
  return "en";
}

/** "in 42 seconds", "in 5 minutes" in the language. */
export function when(language: string, seconds: number): string {
  const format = new Intl.RelativeTimeFormat(language);
  return seconds < 100 ? format.format(seconds, "second") : format.format(Math.ceil(seconds / 60), "minute");
}
