import { readFile } from "node:fs/promises";
import type { PostgresBackend } from "../config.ts";
import { WaitingError } from "../errors.ts";

/**
 * PEM certificates of the authority that a back-end's server is checked against; undefined where none is checked, or the
 * system's own are meant.
 *
 * @throws WaitingError PostgresTlsFailed when the file cannot be read or holds no certificate
 */
export async function readCa({
  name,
  sslMode,
  caFile,
  inline,
}: Pick<PostgresBackend, "name" | "sslMode" | "caFile" | "inline">): Promise<string | undefined> {
  if (inline !== undefined) return (await inline.read()).ca;
  if (caFile === undefined || (sslMode !== "VerifyCa" && sslMode !== "VerifyFull")) return undefined;
  const hint = "put the PEM certificates of the server's authority there";
  const text = await readFile(caFile, "utf8").catch((cause: NodeJS.ErrnoException) => {
    const message = `caFile ${caFile} of back-end ${name} cannot be read (${cause.code}): ${hint}`;
    throw new WaitingError("PostgresTlsFailed", message, { cause });
  });
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw new WaitingError("PostgresTlsFailed", `caFile ${caFile} of back-end ${name} holds no certificate: ${hint}`);
}
