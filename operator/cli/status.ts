import { stringify } from "yaml";
import type { KubeObject } from "../runtime/object-store.ts";
import { since } from "./columns.ts";
import { renderTable } from "./output.ts";

interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  lastTransitionTime: string;
}

interface Status extends Record<string, unknown> {
  observedGeneration?: number;
  conditions?: Condition[];
}

/** `status NAME`: the verdict in one line, then each condition, then the facts. Pure. */
export function renderStatus(object: KubeObject, now: number): string {
  const { kind, metadata } = object;
  const { conditions = [], observedGeneration, ...facts } = (object as { status?: Status }).status ?? {};
  const ready = conditions.find(({ type }) => type === "Ready");
  const seen = observedGeneration === metadata.generation ? "" : " (the latest change has not been looked at yet)";
  const verdict = ready === undefined ? "not looked at yet" : `Ready=${ready.status} ${ready.reason}: ${ready.message}`;
  const rows = conditions.map(({ type, status, reason, lastTransitionTime, message }) => [
    ...[type, status, reason, since(lastTransitionTime, now), message],
  ]);
  const table = renderTable([["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"], ...rows]);
  const deleting = metadata.deletionTimestamp === undefined ? "" : `Deleting since ${metadata.deletionTimestamp}\n`;
  const body = Object.keys(facts).length === 0 ? "" : `\n${stringify(facts, { lineWidth: 0 })}`;
  return `${kind} ${metadata.namespace}/${metadata.name}: ${verdict}${seen}\n${deleting}\n${table}${body}`;
}
