// Templates, methods and inlining, for names and for chains of inlined functions.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace shop
{
struct Item {
    int price;
    bool operator<(const Item &other) const
    {
        return price < other.price;
    }
};

template <class T> T total(const std::vector<T> &values)
{
    T sum{};
    for (const auto &value : values)
        sum += value;
    return sum;
}

class Cart
{
  public:
    int work(int count) const;
};

int Cart::work(int count) const
{
    std::vector<Item> items;
    std::map<std::string, int> prices;
    for (int i = 0; i < count; i++)
        items.push_back({i * 7 % 13});
    std::sort(items.begin(), items.end());
    for (const auto &item : items)
        prices[std::to_string(item.price)] += item.price;
    return total(std::vector<int>(static_cast<size_t>(count), 1)) +
           static_cast<int>(prices.size());
}
} // namespace shop

extern "C" int subject_cxx(int count)
{
    return shop::Cart().work(count);
}
