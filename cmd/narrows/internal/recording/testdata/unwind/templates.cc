// Deep templates, virtual calls, containers, and exceptions that are thrown through
// all of it, until a byte comes on standard input.
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

struct Base {
	virtual ~Base() = default;
	virtual long run(int n) = 0;
};

template <int N> struct Level final : Base {
	std::map<std::string, std::vector<int>> memory;
	long run(int n) override
	{
		Level<N - 1> next;
		std::function<long(int)> call = [&](int m) { return next.run(m); };
		memory["level " + std::to_string(N)].assign(n % 7 + 1, N);
		long sum = call(n);
		if (N % 8 == 0 && n % 3 == 0)
			throw std::runtime_error("level " + std::to_string(N));
		for (auto &entry : memory)
			for (int v : entry.second)
				sum += v;
		return sum;
	}
};

template <> struct Level<0> final : Base {
	long run(int n) override
	{
		if (n % 5 == 0)
			throw std::out_of_range("the bottom");
		long sum = 0;
		for (int i = 0; i < 2000; i++)
			sum = sum * 31 + i * n;
		return sum;
	}
};

int main()
{
	long sum = 0;
	char byte;
	fcntl(0, F_SETFL, O_NONBLOCK);
	do {
		for (int n = 1; n < 60; n++) {
			try {
				sum += Level<40>().run(n);
			} catch (const std::runtime_error &e) {
				sum += e.what()[0];
			} catch (const std::exception &) {
				sum++;
			}
		}
	} while (read(0, &byte, 1) != 1);
	std::fprintf(stderr, sum == 42 ? "!" : "");
	std::puts("{}");
}
