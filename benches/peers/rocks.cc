// RocksDB, one key per tick in ascending order: 512 ticks a batch, lz4, blocks
// of 64 KiB, the log synced every 10 ms. Replay: an iterator with checksums,
// and the fold. Usage: rocks ROWS TICKS FOLDER; prints append, replay (ticks a
// second), bytes (a tick) and the fold's digest.
//
// The fold is the twin of benches/journal/src/fold.rs; its digest must be equal.
#include <rocksdb/db.h>
#include <rocksdb/table.h>

#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr size_t kRow = 64, kContracts = 12000, kBatch = 512;
constexpr uint32_t kFirstId = 2;
constexpr int64_t kPassNs = 250'000'000;
using Clock = std::chrono::steady_clock;

double seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

template <typename T>
T at(const char *row, size_t place) {
  T value;
  memcpy(&value, row + place, sizeof value);
  return value;
}

struct Contract {
  int64_t bid = 0, ask = 0, last = 0, flow = 0, recv = 0;
  uint64_t volume = 0;
  uint32_t bid_size = 0, ask_size = 0, trades = 0, updates = 0;
};

struct Fold {
  std::vector<Contract> contracts = std::vector<Contract>(kContracts);
  std::vector<uint64_t> dirty = std::vector<uint64_t>((kContracts + 63) / 64);
  std::vector<std::array<int64_t, 4>> tiles = std::vector<std::array<int64_t, 4>>(kContracts);
  int64_t next_pass = INT64_MIN;
  uint64_t passes = 0, made = 0;

  void row(const char *r) {
    int64_t recv = at<int64_t>(r, 0);
    uint32_t contract = at<uint32_t>(r, 16) - kFirstId;
    if (recv >= next_pass) pass(recv);
    dirty[contract >> 6] |= uint64_t{1} << (contract & 63);
    Contract &c = contracts[contract];
    c.recv = recv;
    c.updates++;
    if (r[22] == 2) {
      int64_t price = at<int64_t>(r, 24), side = 2 * price - c.bid - c.ask;
      uint64_t size = at<uint64_t>(r, 32);
      c.flow += ((side > 0) - (side < 0)) * static_cast<int64_t>(size);
      c.volume += size;
      c.last = price;
      c.trades++;
    } else {
      c.bid = at<int64_t>(r, 24);
      c.ask = at<int64_t>(r, 32);
      c.bid_size = at<uint32_t>(r, 40);
      c.ask_size = at<uint32_t>(r, 44);
    }
  }

  void pass(int64_t recv) {
    next_pass = (recv / kPassNs + 1) * kPassNs;
    passes++;
    for (size_t w = 0; w < dirty.size(); w++) {
      for (uint64_t left = dirty[w]; left; left &= left - 1) {
        size_t i = w * 64 + static_cast<size_t>(__builtin_ctzll(left));
        const Contract &c = contracts[i];
        int64_t bid = c.bid_size, ask = c.ask_size, sum = bid + ask;
        tiles[i] = {c.bid + c.ask, c.ask - c.bid, (bid - ask) * 1000 / (sum > 0 ? sum : 1), c.flow};
        made++;
      }
      dirty[w] = 0;
    }
  }

  uint64_t digest() const {
    uint64_t h = 0x9E3779B97F4A7C15u;
    auto mix = [&](uint64_t x) {
      h = (h ^ x) * 0xFF51AFD7ED558CCDu;
      h ^= h >> 32;
    };
    mix(passes);
    mix(made);
    for (size_t i = 0; i < kContracts; i++) {
      const Contract &c = contracts[i];
      for (int64_t x : {c.bid, c.ask, c.last, c.flow, c.recv}) mix(static_cast<uint64_t>(x));
      mix(c.volume);
      for (uint32_t x : {c.bid_size, c.ask_size, c.trades, c.updates}) mix(x);
      for (int64_t x : tiles[i]) mix(static_cast<uint64_t>(x));
    }
    return h;
  }
};

void check(const rocksdb::Status &status) {
  if (!status.ok()) {
    fprintf(stderr, "rocksdb: %s\n", status.ToString().c_str());
    exit(1);
  }
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: rocks ROWS TICKS FOLDER\n");
    return 2;
  }
  const size_t n = strtoull(argv[2], nullptr, 10);
  std::vector<char> rows(n * kRow);
  std::ifstream(argv[1], std::ios::binary).read(rows.data(), static_cast<std::streamsize>(rows.size()));

  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kLZ4Compression;
  rocksdb::BlockBasedTableOptions table;
  table.block_size = 64 << 10;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB *opened = nullptr;
  check(rocksdb::DB::Open(options, std::string(argv[3]) + "/rocks", &opened));
  std::unique_ptr<rocksdb::DB> db(opened);

  auto start = Clock::now(), synced = start;
  for (size_t i = 0; i < n; i += kBatch) {
    rocksdb::WriteBatch batch;
    for (size_t j = i; j < i + kBatch && j < n; j++) {
      uint64_t key = __builtin_bswap64(j);
      batch.Put({reinterpret_cast<char *>(&key), 8}, {rows.data() + j * kRow, kRow});
    }
    rocksdb::WriteOptions write;
    if (i + kBatch >= n || Clock::now() - synced >= std::chrono::milliseconds(10)) {
      write.sync = true;
      synced = Clock::now();
    }
    check(db->Write(write, &batch));
  }
  const double append = seconds(start);
  check(db->Flush({}));
  uint64_t bytes = 0;
  db->GetIntProperty("rocksdb.total-sst-files-size", &bytes);

  Fold fold;
  start = Clock::now();
  rocksdb::ReadOptions read;
  read.verify_checksums = true;
  size_t count = 0;
  std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(read));
  for (it->SeekToFirst(); it->Valid(); it->Next(), count++) fold.row(it->value().data());
  check(it->status());
  const double replay = seconds(start);
  if (count != n) {
    fprintf(stderr, "rocksdb: %zu of %zu ticks came back\n", count, n);
    return 1;
  }
  const double ticks = static_cast<double>(n);
  printf("append=%f\nreplay=%f\nbytes=%f\ndigest=%" PRIu64 "\n", ticks / append, ticks / replay,
         static_cast<double>(bytes) / ticks, fold.digest());
}
