-- Writes of 128 bytes to a thousand keys in turn.
local value = string.rep("x", 128)
local n = 0
request = function()
  n = n + 1
  return wrk.format("PUT", "/key-" .. (n % 1000), nil, value)
end
