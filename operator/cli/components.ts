import type { AuditPipelineStatus, SinkStatus } from "../../crds/v1alpha1/pipeline-status.ts";
import { renderTable } from "./output.ts";

/** What a pipeline is made of, a line each, in the direction its events flow. Pure. */
export function renderComponents(status: AuditPipelineStatus): string {
  const { topic, sinks = [], conditions = [] } = status;
  const topicsReady = conditions.find(({ type }) => type === "TopicsReady")?.status ?? "Unknown";
  const rows = [
    ["topic", topicsReady, "", "", topic?.topicName ?? topic?.name ?? ""],
    ...sinks.map((sink) => [`sink ${sink.name}`, yesOrNo(sink.ready), pods(sink), lag(sink), stored(sink)]),
  ];
  return renderTable([["COMPONENT", "READY", "PODS", "LAG", "WHERE"], ...rows]);
}

const yesOrNo = (ready: boolean | undefined) => (ready === undefined ? "Unknown" : ready ? "True" : "False");
const pods = ({ readyReplicas = 0, replicas }: SinkStatus) =>
  replicas === undefined ? "" : `${readyReplicas}/${replicas}`;
/** Records not stored yet. */
const lag = ({ lag: records }: SinkStatus) => (records === undefined ? "unknown" : String(records));

function stored({ postgres: { database = "", schema = "", partitions } = {} }: SinkStatus): string {
  const ledger = [database, schema].filter((part) => part !== "").join(".");
  const { first, last, nextDrop } = partitions ?? {};
  const months = first === undefined ? "" : `, months ${first} to ${last ?? first}`;
  return `${ledger}${months}${nextDrop === undefined ? "" : `, next dropped ${nextDrop}`}`;
}
