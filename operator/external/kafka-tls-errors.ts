import { isIP } from "node:net";
import { connect } from "node:tls";
import type { KafkaLink } from "./kafka-link.ts";

/** OpenSSL's words for a certificate that does not check out (node:tls), and what to do about it. */
const UNTRUSTED = /^(SELF_SIGNED_CERT|DEPTH_ZERO|UNABLE_TO_|CERT_|CRL_|INVALID_CA|HOSTNAME_MISMATCH|ERR_TLS_CERT)/;
const NO_TLS = /^(ERR_SSL_|EPROTO$|PLT_KFK_USER$)/;
/** What the brokers say about a certificate of ours that they do not take, or miss. */
const CLIENT = /^ERR_SSL_.*ALERT.*(CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED)/;

/** What failed between the two ends of a TLS connection, by a code of node:tls or of the client; undefined for any other. */
export function tlsProblem(code: string): string | undefined {
  if (code === "CERT_HAS_EXPIRED") return "the brokers' certificate has expired: it must be renewed there";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code === "HOSTNAME_MISMATCH")
    return "the brokers' certificate is for another host name: bootstrapServers must say a name that is in it, or tls.serverName";
  if (UNTRUSTED.test(code))
    return `the brokers' certificate is not trusted (${code}): tls.caFile, or the Secret of tls.caSecretRef, must hold its authority`;
  if (CLIENT.test(code))
    return `the brokers refuse the client's certificate, or the want of one (${code}): it must be of an authority that they trust, and not expired`;
  if (NO_TLS.test(code))
    return "one end speaks TLS and the other does not: tls of the back-end must fit the brokers' port";
  return undefined;
}

const PATIENCE_MS = 2_000;

/**
 * Why a broker hangs up right after the handshake. With TLS 1.3 that is how it refuses a client's certificate, and the
 * Kafka client only sees that the connection was closed.
 *
 * @returns node's code of the first fault; undefined where the broker keeps the connection or cannot be reached
 */
export function handshakeFault(
  bootstrapServer: string,
  { tls, tlsServerName }: KafkaLink,
): Promise<string | undefined> {
  const colon = bootstrapServer.lastIndexOf(":");
  const host = bootstrapServer.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const name = typeof tlsServerName === "string" ? tlsServerName : isIP(host) === 0 ? host : undefined;
  return new Promise((resolve) => {
    const port = Number(bootstrapServer.slice(colon + 1));
    const socket = connect({ ...tls, host, port, ...(name === undefined ? {} : { servername: name }) });
    const end = (code?: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(code);
    };
    const timer = setTimeout(end, PATIENCE_MS);
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code));
    socket.once("close", () => end());
  });
}
