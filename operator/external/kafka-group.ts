export interface KafkaGroups {
  /** Per partition of the topic, where the group has committed one. */
  committedOffsets(groupId: string, topic: string): Promise<ReadonlyMap<number, bigint>>;
  /** Gone already is success; members still there: WaitingError GroupNotEmpty. */
  delete(groupId: string): Promise<void>;
}
