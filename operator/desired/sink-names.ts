import { createHash } from "node:crypto";

/** Names of one sink's objects in the pipeline's namespace, and of its consumer group. */
export interface SinkNames {
  readonly workload: string;
  readonly config: string;
  /** Its host name, so shorter than other names, and without a digit at its beginning. */
  readonly service: string;
  readonly writerSecret: string;
  readonly readerSecret: string;
  readonly consumerGroup: string;
}

/**
 * `<pipeline>-<sink>`, which two pairs could share (`a-b` + `c`, `a` + `b-c`): where the sink's own name has a dash, six
 * digits of a hash follow. So they do where it reads like such six digits, or it would meet the hash of another. A Deployment's pods add 17 characters, and a label value holds 63.
 */
export function sinkNames({ namespace, name }: { namespace: string; name: string }, sink: string): SinkNames {
  const base = `${name}-${sink}${sink.includes("-") || looksLikeHash.test(sink) ? `-${shortHash(`${name}/${sink}`)}` : ""}`;
  return {
    workload: base,
    config: `${base}-config`,
    service: isHostName.test(base) ? base : `sink-${base.slice(0, 50)}-${shortHash(base)}`,
    writerSecret: `${base}-writer`,
    readerSecret: `${base}-reader`,
    consumerGroup: `audit-pipeline.${namespace}.${name}.${sink}`,
  };
}

/** RFC 1035, as a Service's name has to be. */
const isHostName = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const looksLikeHash = /^[0-9a-f]{6}$/;
const shortHash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 6);
