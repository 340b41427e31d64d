/** Live connections of this worker by destination workload, for the balancer. */
export class LoadCount {
  private readonly counts = new Map<string, number>();

  readonly of = (workloadUid: string): number => this.counts.get(workloadUid) ?? 0;

  add(workloadUid: string): void {
    this.counts.set(workloadUid, this.of(workloadUid) + 1);
  }

  remove(workloadUid: string): void {
    const left = this.of(workloadUid) - 1;
    if (left > 0) this.counts.set(workloadUid, left);
    else this.counts.delete(workloadUid);
  }
}
