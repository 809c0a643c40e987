import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";

/**
 * What Node needs to run, and nothing else, as a build context: the Node this runs under, its shared libraries, the
 * authorities this machine trusts, and a user without rights. For a machine that can pull no image.
 */
export function writeBase(context: string): void {
  const root = join(context, "root");
  const put = (from: string, to = from, mode = 0o644) => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(realpathSync(from), join(root, to));
    chmodSync(join(root, to), mode);
  };
  put(process.execPath, "/usr/local/bin/node", 0o755);
  for (const library of librariesOf(process.execPath)) put(library, library, 0o755);
  if (existsSync(AUTHORITIES)) put(AUTHORITIES);
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
  );
  writeFileSync(join(root, "etc/group"), "root:x:0:\nnonroot:x:65532:\n");
  writeFileSync(join(root, "etc/nsswitch.conf"), "hosts: files dns\n");
  const env = ["PATH=/usr/local/bin", `SSL_CERT_FILE=${AUTHORITIES}`].map((line) => `ENV ${line}\n`);
  writeFileSync(join(context, "Dockerfile"), `FROM scratch\nCOPY root/ /\n${env.join("")}USER 65532:65532\n`);
}

/** As the loader would find them, itself included; names are looked up by libc, which loads two more. */
function librariesOf(program: string): string[] {
  const found = execFileSync("ldd", [program], { encoding: "utf8" }).match(/\/\S+/g) ?? [];
  const libraries = found.filter((path) => path !== program && existsSync(path));
  const folder = dirname(libraries.find((path) => path.includes("libc.so")) ?? "/lib");
  const resolvers = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"].map((name) => join(folder, name));
  return [...new Set([...libraries, ...resolvers.filter((path) => existsSync(path))])];
}
