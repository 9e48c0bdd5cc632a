// Snapshots: the state of a state machine after some entry of the log, in place of all entries up to that one.
//
// A snapshot is a file. The format is etcd's, and etcd's snap package reads these files.
//
//   member/snap/0000000000000002-00000000000001f4.snap          <term>-<index of the last entry in it>
//               0000000000000003-0000000000000320.snap.broken   its checksum did not match: for people to look at
//               0000000000000004-00000000000003e8.snap
//               0000000000000006-00000000000005dc.snap.1.tmp    one that is being written
//
//   file      +-----------------+---------------------------------------------------------------------+
//             | checksum        | snapshot                                                            | snappb.Snapshot
//             | field 1, varint | field 2, bytes                                                      |
//             +-----------------+---------------------------------------------------------------------+
//                              /                                                                     \
//   snapshot  +---------------+--------------------------------------------+--------------------------+
//             | data                                                       | metadata: conf_state,    | raftpb.Snapshot
//             | field 1, bytes                                             | index, term; field 2     |
//             +------------------------------------------------------------+--------------------------+
//             the checksum is the CRC-32C of all this
//
//   as bytes  08 cc cc cc cc 0c  12 ss ss ss ss 0s  0a dd dd dd dd 0d  data ...  12 mm 0a .. 10 .. 18 ..
//             0 checksum         6 size of the rest 12 size of it      18        metadata
//
// In protobuf a size comes before the bytes that it measures, but the size of the data is known only when all of it has
// come. So the head is left open, written last, and always of 18 bytes: its numbers are varints of five bytes, padded
// with zeros where fewer would do. Every protobuf reader accepts such varints; 35 bits bound a file to 32 GiB. etcd
// itself writes the shortest form, and no data field at all where there is no data: both are read here. The metadata
// follows the data, as the order of the fields requires anyway.
//
// The checksum covers the size of the data, which comes first and is known last: see disk/crc32c.ts.
//
// Only files laid out like this are read: fields in this order, none twice, none unknown in the head. The checksum
// proves the snapshot, and the size of the file proves the bytes before it; so any flipped bit is found. Two limits are
// etcd's and not ours: it loads a file into memory as a whole, and it takes a checksum of 0, which one file in four
// thousand million has, for that of an empty file.
//
// Assumptions: those of the log (wal/index.ts). The fourth matters less here: a file whose write or sync failed never
// gets its name, is dropped whole, and was not promised; so the process may go on and save again, to a new file. A file
// that has its name is on the disk as it is read.
//
// Saving
//   1. The data is written to a temporary file in pieces of at most 256 KiB, with a turn for other work after each, and
//      a sync every 4 MiB.
//   2. Metadata, then head, then a last sync.
//   3. The file gets its name, in place of any of the same name. A crash before that leaves only a temporary file.
//   4. The directory is synced. Only now the promise resolves, and only now may the log record the snapshot, which is
//      then *confirmed*.
//   If the source or the disk fails, the temporary file is removed. If step 4 fails, the file stays, whole and not
//   confirmed.
//
// Opening
//   1. The directory is created if it is missing, and locked; temporary files are removed; the directory and its parent
//      are synced, so that no power cut can undo a name that this start has seen.
//   2. newest(confirmed): of the snapshots that the log has a record of, the newest one whose checksum matches. Bad
//      ones on the way are renamed. None: the caller knows whether the log alone will do. If not, the member must not
//      start.
//   A file that a crash left without its record stays until a newer one is released. A caller that knows it to be
//   useless deletes it by discardUnconfirmed(confirmed), before the first save.
//
// Releasing: files of a lower index, broken ones too, are deleted from the oldest on; then the directory is synced. A
// read that has begun goes on to the end of the file.
//
// Durable is thus: a snapshot, when save resolves; the removal of others, when release resolves. No more is promised.
//
// Where to read on: format.ts (bytes), write.ts and read.ts (one file), snapshotter.ts (the directory).

export { SnapError, type SnapErrorCode } from "./errors.ts";
export { parseSnapshotName, type SnapshotPosition, samePosition, snapshotName } from "./names.ts";
export { readSnapshot } from "./read.ts";
export { Snapshotter, type SnapshotterOptions } from "./snapshotter.ts";
