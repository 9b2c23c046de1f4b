// A C++ program with much to inline: templates, lambdas, classes within classes,
// anonymous namespaces, virtual calls, exceptions, and the standard library's
// containers and algorithms.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace shapes {

class Shape {
public:
	virtual ~Shape() = default;
	virtual double area() const = 0;
	virtual std::string name() const { return "shape"; }
};

template <typename T>
class Square : public Shape {
	T side;

public:
	explicit Square(T side) : side(side) {}
	double area() const override { return static_cast<double>(side * side); }
	std::string name() const override { return "square"; }

	struct Corner {
		T x, y;
		T distance() const { return x * x + y * y; }
	};
	Corner corner() const { return Corner{side, side}; }
};

namespace {
struct Hidden : Shape {
	double area() const override { return 1; }
	static int counter;
	int next() { return ++counter; }
};
int Hidden::counter = 0;

int hidden_function(int x)
{
	static std::vector<int> seen;
	seen.push_back(x);
	return static_cast<int>(seen.size());
}
} // namespace

inline namespace v1 {
template <int N>
struct Factorial {
	static uint64_t value(uint64_t x) { return N * Factorial<N - 1>::value(x + N); }
};
template <>
struct Factorial<0> {
	static uint64_t value(uint64_t x) { return x % 17 + 1; }
};
} // namespace v1

} // namespace shapes

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 29;
	return x;
}

template <typename F>
static uint64_t repeat(int n, F f)
{
	uint64_t sum = 0;
	for (int i = 0; i < n; i++)
		sum += f(mix(i));
	return sum;
}

__attribute__((noinline)) static uint64_t thrower(uint64_t x)
{
	if (x % 7 == 0)
		throw std::runtime_error("seven " + std::to_string(x));
	return x;
}

__attribute__((noinline)) uint64_t catcher(uint64_t n)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < n; i++) {
		try {
			sum += thrower(i);
		} catch (const std::exception &e) {
			sum += std::string(e.what()).size();
		}
	}
	return sum;
}

struct Visitor {
	std::map<std::string, std::vector<int>> seen;
	Visitor &operator()(const std::string &key, int value)
	{
		seen[key].push_back(value);
		return *this;
	}
	operator int() const
	{
		return std::accumulate(seen.begin(), seen.end(), 0, [](int sum, const auto &entry) {
			return sum + static_cast<int>(entry.second.size());
		});
	}
};

extern "C" int plain_c_name(int x)
{
	struct Local {
		int twice(int y) { return 2 * y; }
	} local;
	return local.twice(x) + shapes::hidden_function(x);
}

__attribute__((cold, noinline)) void report(const std::string &what)
{
	std::ostringstream out;
	out << what << ' ' << what.size();
	std::puts(out.str().c_str());
}

int main(int argc, char **argv)
{
	std::vector<std::unique_ptr<shapes::Shape>> all;
	all.push_back(std::make_unique<shapes::Square<int>>(argc));
	all.push_back(std::make_unique<shapes::Square<double>>(argc));
	all.push_back(std::make_unique<shapes::Hidden>());
	double area = 0;
	for (const auto &s : all)
		area += s->area() + static_cast<double>(s->name().size());
	uint64_t sum = repeat(argc * 10, [&](uint64_t x) { return shapes::Factorial<6>::value(x) + argc; });
	std::unordered_map<std::string, int> counts;
	for (int i = 0; i < argc; i++)
		counts[argv[i]]++;
	std::vector<std::pair<std::string, int>> sorted(counts.begin(), counts.end());
	std::sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) { return a.second > b.second || a.first < b.first; });
	std::function<int(int)> fibonacci = [&](int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); };
	if (argc > 1)
		report(argv[1]);
	Visitor visitor;
	visitor("a", 1)("b", 2)("a", 3);
	shapes::Square<int>::Corner corner = shapes::Square<int>(argc).corner();
	std::printf("%f %llu %d %d %d %llu %d\n", area, (unsigned long long)sum, fibonacci(argc + 5), static_cast<int>(visitor),
		    plain_c_name(argc), (unsigned long long)catcher(20), corner.distance());
	return sorted.empty();
}
