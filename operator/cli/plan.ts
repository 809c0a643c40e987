import { pino } from "pino";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { validateResource } from "../../crds/validate.ts";
import type { OperatorConfig } from "../config.ts";
import type { Deps } from "../controllers/deps.ts";
import type { Planned } from "../dry-run/plan-resources.ts";
import type { StoreReader } from "../dry-run/recorded-store.ts";
import type { Step } from "../dry-run/step.ts";
import type { Receipts } from "../external/receipts.ts";
import { parseManifests } from "../standalone/manifests.ts";
import { fileReceipts } from "../standalone/receipts.ts";
import { clientOf, requireState } from "./client.ts";
import { Failure } from "./failure.ts";
import { filesOf, readManifest } from "./validate.ts";

export interface PlanOptions {
  readonly path: string;
  readonly config: OperatorConfig;
  /** The standalone whose resources the manifests would change; none: everything is new. */
  readonly stateDir: string | undefined;
  readonly connect: (config: OperatorConfig, receipts: Receipts) => Deps & { close(): Promise<void> };
}

/** `plan -f P`: what applying the manifests would change, without changing it. */
export async function plan({ path, config, stateDir, connect }: PlanOptions): Promise<Planned> {
  const { planResources } = await import("../dry-run/plan-resources.ts");
  const nothing: StoreReader = { get: async () => undefined, list: async () => ({ items: [], resourceVersion: "" }) };
  const reader = stateDir === undefined ? nothing : clientOf(await requireState(stateDir));
  const resources = await resourcesOf(path, reader);
  const deps = connect(config, stateDir === undefined ? noReceipts : fileReceipts(stateDir));
  try {
    return await planResources(resources, reader, deps, pino({ level: "silent" }));
  } finally {
    await deps.close();
  }
}

const noReceipts: Receipts = { read: async () => undefined, add: async () => undefined };

/** The manifests' resources as they would stand once applied: with what the object there has of identity and status. */
async function resourcesOf(path: string, reader: StoreReader): Promise<(AuditTopic | AuditPipeline)[]> {
  const resources: (AuditTopic | AuditPipeline)[] = [];
  for (const file of await filesOf(path)) {
    const parsed = parseManifests(await readManifest(file));
    if (!parsed.ok) {
      throw new Failure(
        parsed.problems.map(({ path: at, found, allowed }) => `${file}: ${at}: found ${found}; ${allowed}`).join("\n"),
        2,
      );
    }
    for (const { kind, metadata, ...rest } of parsed.objects) {
      if (kind !== "AuditTopic" && kind !== "AuditPipeline") continue;
      const there = await reader.get<AuditTopic | AuditPipeline>({
        kind,
        namespace: metadata.namespace,
        name: metadata.name,
      });
      const fresh = { uid: "new", resourceVersion: "0", generation: 1, creationTimestamp: "" };
      const object = { ...rest, kind, metadata: { ...fresh, ...there?.metadata, ...metadata } };
      const validation = validateResource(object, there);
      if (!validation.ok)
        throw new Failure(validation.causes.map(({ message }) => `${file}: ${message}`).join("\n"), 2);
      resources.push({
        ...object,
        ...(validation.value as object),
        ...(there?.status ? { status: there.status } : {}),
      } as AuditTopic | AuditPipeline);
    }
  }
  return resources;
}

export function renderPlan({ steps, problems }: Planned, format: "table" | "json"): string {
  if (format === "json") return `${JSON.stringify({ steps, problems }, undefined, 2)}\n`;
  const rows = steps.map((step) => [step.system, step.action, step.object, step.destructive ? "DESTRUCTIVE" : ""]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0), 0));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  const of = (resource: string) =>
    steps.flatMap((step, index) => (step.resource === resource ? [`  ${line(rows[index] ?? [])}\n`] : []));
  const resources = [...new Set(steps.map(({ resource }) => resource))];
  const planned = resources.map((resource) => `${resource}\n${of(resource).join("")}`).join("\n");
  const stands = problems.map(({ resource, reason, message }) => `${resource}: ${reason}: ${message}\n`).join("");
  if (steps.length === 0 && problems.length === 0) return "Nothing to do\n";
  const total = `${steps.length} changes, ${steps.filter(({ destructive }: Step) => destructive).length} of them destructive\n`;
  return [planned, total, stands === "" ? "" : `In the way:\n${stands}`].filter((part) => part !== "").join("\n");
}
