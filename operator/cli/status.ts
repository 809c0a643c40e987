import { stringify } from "yaml";
import type { AuditPipelineStatus } from "../../crds/v1alpha1/pipeline-status.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import { since } from "./columns.ts";
import { renderComponents } from "./components.ts";
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

/**
 * `status NAME`: the verdict in one line, a pipeline's components with their lag, then each condition; of a topic the facts.
 * What else a pipeline's status holds is for `describe`. Pure.
 */
export function renderStatus(object: KubeObject, now: number): string {
  const { status } = object as { status?: AuditPipelineStatus };
  const components = object.kind === "AuditPipeline" && status !== undefined ? `${renderComponents(status)}\n` : "";
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
  const body = components !== "" || Object.keys(facts).length === 0 ? "" : `\n${stringify(facts, { lineWidth: 0 })}`;
  return `${kind} ${metadata.namespace}/${metadata.name}: ${verdict}${seen}\n${deleting}\n${components}${table}${body}`;
}
