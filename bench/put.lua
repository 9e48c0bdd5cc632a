-- Writes of 128 bytes to ten thousand keys in turn.
local value = string.rep("x", 128)
local n = 0
request = function()
  n = n + 1
  return wrk.format("PUT", "/key-" .. (n % 10000), nil, value)
end
