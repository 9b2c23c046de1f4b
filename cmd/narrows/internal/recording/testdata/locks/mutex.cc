// Threads that wait for a std::mutex, and measure that themselves; see locks.c.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <pthread.h>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

static std::mutex mutex;
static std::uint64_t waited, contended;

static void work(int t)
{
	pthread_setname_np(pthread_self(), ("t" + std::to_string(t)).c_str());
	for (int i = 0; i < 400; i++) {
		auto from = Clock::now();
		if (!mutex.try_lock()) {
			mutex.lock();
			waited += std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - from).count();
			contended++;
		}
		for (auto end = Clock::now() + std::chrono::microseconds(800); Clock::now() < end;)
			;
		mutex.unlock();
		std::this_thread::sleep_for(std::chrono::microseconds(300 + 100 * t));
	}
}

int main()
{
	std::vector<std::thread> threads;
	for (int t = 0; t < 4; t++)
		threads.emplace_back(work, t);
	for (auto &t : threads)
		t.join();
	std::printf("{\"lock\":%llu,\"lock_bytes\":%zu,\"wait_ns\":%llu,\"contended\":%llu}\n", (unsigned long long)(std::uintptr_t)&mutex,
		    sizeof(mutex), (unsigned long long)waited, (unsigned long long)contended);
}
