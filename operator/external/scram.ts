/** `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, as pg_authid keeps it (RFC 5802, 7677). ASCII passwords only. */
export function scramVerifier(_password: string): string {
  throw new Error("not yet");
}

/** Tells passwords apart without telling them; for generated ones of at least 128 random bits. */
export function credentialFingerprint(_password: string): string {
  throw new Error("not yet");
}

/** 32 random bytes as base64url. */
export function generatePassword(): string {
  throw new Error("not yet");
}
