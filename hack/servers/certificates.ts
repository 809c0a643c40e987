import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
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
  openssl(dir, "req", "-x509", ...NEW_KEY, "-keyout", `${name}.key`, "-out", `${name}.pem`, "-subj", `/CN=${name}`);
  return authorityIn(dir, name);
}

/** One that was made in `dir`, perhaps by another process; what it signs here goes to `output`. */
export function authorityIn(dir: string, name: string, output = dir): Authority {
  const [caFile, caKey] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)];
  return {
    caFile,
    sign(file, { hosts = [], days = 2, subject = `/CN=${file}` } = {}) {
      const names = hosts.map((host) => `${/^[\d.]+$/.test(host) ? "IP" : "DNS"}:${host}`).join(",");
      const extension = names === "" ? [] : ["-addext", `subjectAltName=${names}`];
      const files = ["-keyout", `${file}.key`, "-out", `${file}.csr`];
      openssl(output, "req", ...NEW_KEY, ...files, "-subj", subject, ...extension);
      const serial = `0x${randomBytes(8).toString("hex")}`;
      const signer = ["-CA", caFile, "-CAkey", caKey, "-set_serial", serial, "-copy_extensions", "copy"];
      openssl(output, "x509", "-req", "-in", `${file}.csr`, ...signer, "-out", `${file}.crt`, "-days", String(days));
      return { certFile: join(output, `${file}.crt`), keyFile: join(output, `${file}.key`) };
    },
  };
}

const openssl = (dir: string, ...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });

/** Key and certificates in one file, as `ssl.keystore.type=PEM` wants them. */
export function pemKeystore(file: string, { certFile, keyFile }: Certificate, caFile: string): string {
  const parts = [keyFile, certFile, caFile].map((part) => readFileSync(part, "utf8"));
  writeFileSync(file, parts.join(""), { mode: 0o600 });
  return file;
}
