import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { run, withProgress } from "../servers/run.ts";

/** What the cluster runs that is not built here, and the Debian package each is in. */
const programs: Readonly<Record<string, string>> = {
  containerd: "containerd",
  ctr: "containerd",
  runc: "runc",
  buildah: "buildah",
  "/usr/lib/cni/bridge": "containernetworking-plugins",
  iptables: "iptables",
  conntrack: "conntrack",
  ip: "iproute2",
  unshare: "util-linux",
  nsenter: "util-linux",
  mount: "mount",
  openssl: "openssl",
};

const DIRECTORIES = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];

const isThere = (program: string) =>
  program.startsWith("/") ? existsSync(program) : DIRECTORIES.some((folder) => existsSync(join(folder, program)));

const packagesOf = (needed: readonly string[]) =>
  [...new Set(needed.flatMap((program) => (isThere(program) ? [] : [programs[program] ?? program])))].sort();

/**
 * Installs what a cluster needs and is missing, where that can be done.
 *
 * @throws an error that says what is missing and what to do
 */
export async function ensurePrerequisites(): Promise<void> {
  if (process.platform !== "linux") throw new Error("A cluster of its own needs Linux; elsewhere use one you have");
  if (process.getuid?.() !== 0) {
    throw new Error("A cluster of its own needs root, for namespaces and containers. Run it as root, or by sudo");
  }
  ensureGo();
  await ensurePrograms(...Object.keys(programs));
}

/** @throws an error that says what is missing and what to do */
export function ensureGo(): void {
  if (!isThere("go")) throw new Error("Missing: go (1.24 or newer)\n  fix: apt install golang, or https://go.dev/dl");
}

/** As `ensurePrerequisites`, for some of the programs. */
export async function ensurePrograms(...needed: readonly string[]): Promise<void> {
  const packages = packagesOf(needed);
  if (packages.length === 0) return;
  if (process.getuid?.() === 0 && isThere("apt-get")) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const install = () => run("apt-get", ["install", "-y", "--no-install-recommends", ...packages], { env });
    // A machine that never asked knows of no package, and one that asked long ago of old ones.
    const installed = install().catch(() => run("apt-get", ["update"], { env }).then(install));
    await withProgress(`Installing ${packages.join(", ")} with apt-get`, () => installed).catch((error: unknown) =>
      console.error(error instanceof Error ? error.message : error),
    );
  }
  const left = packagesOf(needed);
  if (left.length > 0) throw new Error(`Missing: ${left.join(", ")}\n  fix: apt install ${left.join(" ")}`);
}
