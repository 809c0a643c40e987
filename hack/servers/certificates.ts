import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate and its key, PEM files. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

/** An authority of one's own. */
export interface Authority {
  /** PEM, of the authority itself. */
  readonly caFile: string;
  /**
   * Signs `name` (file name and, unless `subject` says another, common name); `days` may be negative: expired then. A
   * server's has `hosts`.
   *
   * @param options.subject as openssl takes it: `/O=system:masters/CN=admin`
   */
  sign(name: string, options?: { hosts?: readonly string[]; days?: number; subject?: string }): Certificate;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** Files in `dir`; keys are PKCS#8 without a passphrase, good for nothing but tests. */
export function newAuthority(dir: string, name: string): Authority {
  mkdirSync(dir, { recursive: true });
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  openssl("req", "-x509", ...NEW_KEY, "-keyout", `${name}.key`, "-out", `${name}.pem`, "-subj", `/CN=${name}`);

  return {
    caFile: join(dir, `${name}.pem`),
    sign(file, { hosts = [], days = 2, subject = `/CN=${file}` } = {}) {
      const names = hosts.map((host) => `${/^[\d.]+$/.test(host) ? "IP" : "DNS"}:${host}`).join(",");
      const extension = names === "" ? [] : ["-addext", `subjectAltName=${names}`];
      const files = ["-keyout", `${file}.key`, "-out", `${file}.csr`];
      openssl("req", ...NEW_KEY, ...files, "-subj", subject, ...extension);
      const signer = ["-CA", `${name}.pem`, "-CAkey", `${name}.key`, "-CAcreateserial", "-copy_extensions", "copy"];
      openssl("x509", "-req", "-in", `${file}.csr`, ...signer, "-out", `${file}.crt`, "-days", String(days));
      return { certFile: join(dir, `${file}.crt`), keyFile: join(dir, `${file}.key`) };
    },
  };
}

/** Key and certificates in one file, as `ssl.keystore.type=PEM` wants them. */
export function pemKeystore(file: string, { certFile, keyFile }: Certificate, caFile: string): string {
  const parts = [keyFile, certFile, caFile].map((part) => readFileSync(part, "utf8"));
  writeFileSync(file, parts.join(""), { mode: 0o600 });
  return file;
}
