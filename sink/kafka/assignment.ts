import { WireReader, WireWriter } from "./wire.ts";

/**
 * The consumer protocol inside a group (ConsumerProtocolSubscription and ConsumerProtocolAssignment, version 0), so that
 * the usual tools can show who holds what.
 */
export const protocolName = "range";

export function encodeSubscription(topic: string): Buffer {
  const writer = new WireWriter().int16(0);
  return writer
    .array([topic], (name) => writer.string(name))
    .nullableBytes(null)
    .toBuffer();
}

export function encodeAssignment(topic: string, partitions: readonly number[]): Buffer {
  const writer = new WireWriter().int16(0);
  return writer
    .array(partitions.length === 0 ? [] : [topic], (name) => {
      writer.string(name).array(partitions, (partition) => writer.int32(partition));
    })
    .nullableBytes(null)
    .toBuffer();
}

/** Ascending. A member that got nothing may be sent an empty buffer. */
export function decodeAssignment(assignment: Buffer, topic: string): number[] {
  if (assignment.length === 0) return [];
  const reader = new WireReader(assignment);
  reader.int16();
  const topics = reader.array(() => ({ name: reader.string(), partitions: reader.array(() => reader.int32()) }));
  return topics.flatMap(({ name, partitions }) => (name === topic ? partitions : [])).toSorted((a, b) => a - b);
}

/** Contiguous shares in the order of the member ids; no two differ by more than one partition. */
export function shareOut(memberIds: readonly string[], partitionCount: number): Map<string, number[]> {
  const members = memberIds.toSorted();
  const border = (index: number) => Math.ceil((index * partitionCount) / members.length);
  return new Map(
    members.map((member, index) => [
      member,
      Array.from({ length: border(index + 1) - border(index) }, (_, i) => border(index) + i),
    ]),
  );
}
