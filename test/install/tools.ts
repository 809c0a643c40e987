import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { inject, onTestFinished } from "vitest";
import { parseAllDocuments, stringify } from "yaml";
import { kubectlOf, kubectlProgram } from "../../hack/cluster/kubectl.ts";

const runFile = promisify(execFile);
const LARGE = 64 * 1024 * 1024;
const root = resolve(import.meta.dirname, "../..");

export const SYSTEM = "audit-pipeline-system";
export const RELEASE = "audit-pipeline";
export const chart = join(root, "charts/audit-pipeline");

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  readonly [field: string]: unknown;
}

/** Answers what was printed. @throws an error whose message is what helm said */
export async function helm(...args: string[]): Promise<string> {
  const { program, home } = inject("helm");
  const folders = { HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
  const env = { ...process.env, ...folders, KUBECONFIG: inject("apiServer").kubeconfig };
  const { stdout } = await runFile(program, args, { env, maxBuffer: LARGE });
  return stdout;
}

/** `--values` of a file with these; gone when the test is. */
export function values(content: object): string[] {
  const folder = mkdtempSync(join(tmpdir(), "chart-values-"));
  onTestFinished(async () => void (await runFile("rm", ["-r", folder])));
  const file = join(folder, "values.yaml");
  writeFileSync(file, stringify(content));
  return ["--values", file];
}

/** What the chart renders. */
export async function renderChart(...args: string[]): Promise<Manifest[]> {
  return manifests(await helm("template", RELEASE, chart, "--namespace", SYSTEM, ...args));
}

export async function renderKustomize(folder: string): Promise<Manifest[]> {
  const { stdout } = await runFile(await kubectlProgram(), ["kustomize", join(root, folder)], { maxBuffer: LARGE });
  return manifests(stdout);
}

const manifests = (text: string): Manifest[] =>
  parseAllDocuments(text)
    .map((found) => found.toJS() as Manifest | null)
    .filter((found) => found !== null);

export const keyOf = ({ kind, metadata: { namespace, name } }: Manifest) => `${kind} ${namespace ?? ""}/${name}`;

/** The one of a kind, of that name where there are several. */
export function find(found: readonly Manifest[], kind: string, name?: string): Manifest {
  const matching = found.filter((one) => one.kind === kind && (name === undefined || one.metadata.name === name));
  const [only] = matching;
  if (only === undefined || matching.length > 1) throw new Error(`${matching.length} ${kind} ${name ?? ""}`);
  return only;
}

/** Installed as a person does it; nothing runs, since there is no node. */
export const installRelease = (...args: string[]) =>
  helm("install", RELEASE, chart, "--namespace", SYSTEM, "--create-namespace", ...args);

const CRDS = ["audittopics.auditpipeline.io", "auditpipelines.auditpipeline.io"];

/** With the definitions, which helm leaves; the guard is still in force a moment after it went. */
export async function removeRelease(): Promise<void> {
  await helm("uninstall", RELEASE, "--namespace", SYSTEM, "--ignore-not-found");
  for (const name of (await kubectl("get", "crd", "-o", "name", "--ignore-not-found", ...CRDS)).trim().split("\n")) {
    if (name === "") continue;
    await kubectl("annotate", "--overwrite", name, `auditpipeline.io/confirm-delete=${name.split("/")[1]}`);
    await kubectl("delete", name, "--timeout=60s");
  }
}

export const kubectl = (...args: string[]) => kubectlOf(inject("apiServer").kubeconfig)(args);

/** @throws after a minute */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 240; round += 1) {
    if (await holds()) return;
    await delay(250);
  }
  throw new Error("Not seen within a minute");
}
