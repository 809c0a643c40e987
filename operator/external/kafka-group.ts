import type { Admin } from "@platformatic/kafka";
import { WaitingError } from "../errors.ts";
import { fromKafka, hasApiId } from "./kafka-errors.ts";

export interface KafkaGroups {
  /** Per partition of the topic, where the group has committed one. */
  committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, bigint>>;
  /** Gone already is success; members still there: WaitingError GroupNotEmpty. */
  delete(groupId: string): Promise<void>;
}

export function kafkaGroups(admin: Admin): KafkaGroups {
  return {
    async committedOffsets(groupId, topic) {
      try {
        const groups = await admin.listConsumerGroupOffsets({ groups: [groupId] });
        const partitions = groups
          .flatMap(({ topics }) => topics)
          .filter(({ name }) => name === topic)
          .flatMap((found) => found.partitions);
        // -1: the group knows the partition and has committed nothing.
        const committed = partitions.filter(({ committedOffset }) => committedOffset >= 0n);
        return new Map(committed.map(({ partitionIndex, committedOffset }) => [partitionIndex, committedOffset]));
      } catch (error) {
        if (hasApiId(error, "GROUP_ID_NOT_FOUND")) return new Map();
        return fromKafka(error, `Reading offsets of group ${groupId}`);
      }
    },

    async delete(groupId) {
      try {
        await admin.deleteGroups({ groups: [groupId] });
      } catch (error) {
        if (hasApiId(error, "GROUP_ID_NOT_FOUND")) return;
        if (hasApiId(error, "NON_EMPTY_GROUP")) {
          throw new WaitingError("GroupNotEmpty", `Group ${groupId} still has members`, { cause: error });
        }
        fromKafka(error, `Deleting group ${groupId}`);
      }
    },
  };
}
