import { pbkdf2Sync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { asLogin, asSuperuser, uniqueNamespace } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { identifier, literal } from "./quote.ts";
import { credentialFingerprint, generatePassword, scramVerifier } from "./scram.ts";

describe.each(["postgres15", "postgres18"] as const)("a SCRAM verifier on %s", (major) => {
  const pg = sharedServers()[major];

  test.each([generatePassword(), "with spaces and ' \" \\ $ ~"])(
    "lets in who has the password, and nobody else",
    async (password) => {
      const user = uniqueNamespace();
      const verifier = scramVerifier(password);
      await asSuperuser(pg, "postgres", async (client) => {
        await client.query(`CREATE ROLE ${identifier(user)} LOGIN PASSWORD ${literal(verifier)}`);
        const { rows } = await client.query("SELECT rolpassword FROM pg_authid WHERE rolname = $1", [user]);
        // Kept as sent: had the server not known it for a verifier, it would have hashed it as a password.
        expect(rows).toEqual([{ rolpassword: verifier }]);
      });
      const { rows } = await asLogin(pg, { user, password }, "postgres", (client) =>
        client.query("SELECT current_user AS me"),
      );
      expect(rows).toEqual([{ me: user }]);
      await expect(
        asLogin(pg, { user, password: `${password}x` }, "postgres", async () => undefined),
      ).rejects.toMatchObject({
        code: "28P01",
      });
    },
  );
});

test("two verifiers of one password differ, its fingerprint does not", () => {
  const password = generatePassword();
  expect(scramVerifier(password)).not.toBe(scramVerifier(password));
  expect(credentialFingerprint(password)).toBe(credentialFingerprint(password));
  // As slow as the verifier, since others can read it.
  const slow = pbkdf2Sync(password, "audit-pipeline credential", 4096, 8, "sha256").toString("hex");
  expect(credentialFingerprint(password)).toBe(slow);
  expect(credentialFingerprint(password)).not.toBe(credentialFingerprint(generatePassword()));
});

test.each(["", "pässword", "tab\t"])("%j is refused: it would need SASLprep", (password) => {
  expect(() => scramVerifier(password)).toThrow(RangeError);
});

test("a generated password has 256 bits, in characters that need no escape in a URI", () => {
  expect(generatePassword()).toMatch(/^[A-Za-z0-9_-]{43}$/);
});
