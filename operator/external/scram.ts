import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

/** PostgreSQL's own default (scram_iterations); our passwords are random, so more would buy nothing. */
const ITERATIONS = 4096;
const SALT_BYTES = 16;

/**
 * `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, as pg_authid keeps it (RFC 5802, 7677): sent instead of the password,
 * which so stands in no SQL text and in no server log.
 *
 * @throws RangeError on other than printable ASCII: SASLprep, which the rest would need, is not done here
 */
export function scramVerifier(password: string): string {
  if (!/^[\x20-\x7e]+$/.test(password)) throw new RangeError("A password for SCRAM must be printable ASCII");
  const salt = randomBytes(SALT_BYTES);
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, "sha256");
  const storedKey = sha256(hmac(salted, "Client Key"));
  const serverKey = hmac(salted, "Server Key");
  return `SCRAM-SHA-256$${ITERATIONS}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`;
}

/**
 * Tells passwords apart without telling them. Everybody on a PostgreSQL server reads the comments where it stands, and
 * people may choose passwords: guessing at it costs as much as at what the server itself keeps.
 */
export function credentialFingerprint(password: string): string {
  return pbkdf2Sync(password, "audit-pipeline credential", ITERATIONS, 8, "sha256").toString("hex");
}

/** 256 random bits, as base64url: safe in a URI. */
export const generatePassword = (): string => randomBytes(32).toString("base64url");

const hmac = (key: Buffer, text: string) => createHmac("sha256", key).update(text).digest();
const sha256 = (data: Buffer) => createHash("sha256").update(data).digest();
const base64 = (data: Buffer) => data.toString("base64");
