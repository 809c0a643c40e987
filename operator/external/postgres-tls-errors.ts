import { WaitingError } from "../errors.ts";

/** OpenSSL's words for a certificate that does not check out (node:tls). */
const UNTRUSTED = /^(SELF_SIGNED_CERT|DEPTH_ZERO|UNABLE_TO_|CERT_|CRL_|INVALID_CA|ERR_TLS_CERT)/;
const NO_TLS = /^(ERR_SSL_|EPROTO$)/;
/** The client's words for a server's answer to its wish for TLS; it has no code for them. */
const NO_TLS_MESSAGE = /SSL connection/;

/** PostgresTlsFailed with what to mend, where a TLS connection did not come about; any other error as it is. */
export function fromTls(error: unknown, server: { name: string; sslMode: string }): unknown {
  if (!(error instanceof Error)) return error;
  const problem = tlsProblem(error, server.sslMode);
  if (problem === undefined) return error;
  const message = `Connecting to back-end ${server.name}: ${problem}`;
  return new WaitingError("PostgresTlsFailed", message, { requeueAfterMs: 5_000, cause: error });
}

function tlsProblem(error: Error & { code?: unknown }, sslMode: string): string | undefined {
  const code = typeof error.code === "string" ? error.code : "";
  if (code === "CERT_HAS_EXPIRED") return "the server's certificate has expired: it must be renewed there";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code === "HOSTNAME_MISMATCH")
    return `the server's certificate is for another host name: with sslMode ${sslMode}, host must be a name that is in it`;
  if (UNTRUSTED.test(code))
    return `the server's certificate is not trusted (${code}): sslMode ${sslMode} of the back-end checks it against its caFile, or the Secret of caSecretRef`;
  if (NO_TLS.test(code) || (code === "" && NO_TLS_MESSAGE.test(error.message)))
    return sslMode === "Prefer"
      ? "the server does not speak TLS any more: the next try does without"
      : `the server does not speak TLS, and sslMode ${sslMode} wants it`;
  return undefined;
}
