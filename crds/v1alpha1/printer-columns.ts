/** A column of `kubectl get`; those of priority 1 appear with `-o wide`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly description: string;
  readonly priority?: number;
}

const READY: PrinterColumn = {
  name: "Ready",
  type: "string",
  jsonPath: '.status.conditions[?(@.type=="Ready")].status',
  description: "Whether the resource does what its spec says.",
};
const AGE: PrinterColumn = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
  description: "Time since the resource was created.",
};
const MESSAGE: PrinterColumn = {
  name: "Message",
  type: "string",
  jsonPath: '.status.conditions[?(@.type=="Ready")].message',
  description: "Why it is Ready or not.",
  priority: 1,
};

export const TOPIC_COLUMNS: readonly PrinterColumn[] = [
  { name: "Topic", type: "string", jsonPath: ".status.topicName", description: "Name of the topic in Kafka." },
  { name: "Partitions", type: "integer", jsonPath: ".status.partitions", description: "Partitions the topic has." },
  {
    name: "RF",
    type: "integer",
    jsonPath: ".status.replicationFactor",
    description: "Copies of every partition the topic has.",
  },
  {
    name: "Policy",
    type: "string",
    jsonPath: ".spec.deletionPolicy",
    description: "What happens to the topic when the resource is deleted.",
  },
  READY,
  AGE,
  MESSAGE,
];

export const PIPELINE_COLUMNS: readonly PrinterColumn[] = [
  READY,
  {
    name: "Lag",
    type: "string",
    jsonPath: ".status.sinks[*].lag",
    description: "Records not stored yet, for each sink.",
  },
  { name: "Sinks", type: "string", jsonPath: ".spec.sinks[*].name", description: "Names of the sinks." },
  AGE,
  MESSAGE,
];
