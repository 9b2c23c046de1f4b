// Exceptions and deep templates. It stops itself when it begins, to be run
// instruction by instruction from there on, and says "done" at its end.
#include <csignal>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>

#define NOINLINE __attribute__((noinline))

volatile int sink;

struct guard {
	int &count;
	NOINLINE ~guard() { count++; }
};

template <int N> struct nest {
	NOINLINE static int down(int &count)
	{
		guard g{count};
		return nest<N - 1>::down(count) + 1;
	}
};

template <> struct nest<0> {
	NOINLINE static int down(int &) { throw std::runtime_error("bottom"); }
};

int main()
{
	int count = 0;
	std::map<std::string, int> words;

	std::raise(SIGUSR1);
	for (int i = 0; i < 3; i++) {
		try {
			sink = nest<12>::down(count);
		} catch (const std::exception &e) {
			words[e.what()] += count;
		}
	}
	std::puts(words["bottom"] > 0 ? "done" : "");
	return 0;
}
